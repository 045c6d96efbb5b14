//! Intervals that hold a true figure in 95 of 100 cases: of a share, of a median, of a mean. Formulas only; what is measured
//! and what follows from it is decided elsewhere.
//!
//! They hold for one look at a sample of independent values. Whoever looks again and again until two of them come apart is
//! wrong more often; that they have to come apart altogether makes up for it in part, since it is asked for less often than
//! a test of the difference would (Schenker and Gentleman: On judging the significance of differences by examining the
//! overlap between confidence intervals, The American Statistician 55, 2001).

/// The quantile 0.975 of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;
/// What is left out at either end.
const TAIL: f64 = 0.025;

/// Where a figure lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// From.
    pub low: f64,
    /// To.
    pub high: f64,
}

impl Interval {
    /// Whether some value lies in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// Of a share, by the score method (Wilson: Probable inference, the law of succession, and statistical inference, JASA 22,
/// 1927); none where there is nothing to share.
#[must_use]
pub fn of_share(part: u64, whole: u64) -> Option<Interval> {
    if whole == 0 {
        return None;
    }
    let n = whole as f64;
    let (p, z2) = (part.min(whole) as f64 / n, Z * Z);
    let scale = 1.0 / (1.0 + z2 / n);
    let middle = scale * (p + z2 / (2.0 * n));
    let half = scale * Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    Some(Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) })
}

/// Of the median, between two of the values themselves whatever their distribution (Conover: Practical nonparametric
/// statistics, 3rd edition, 1999, section 3.2). `sorted` is in ascending order. None below 6 values: no two of them are far
/// enough apart.
#[must_use]
pub fn of_median(sorted: &[f64]) -> Option<Interval> {
    let n = sorted.len();
    // As many values below the r-th as above the one that mirrors it; both tails of a binomial distribution of 1/2.
    let mut probability = 0.5_f64.powi(i32::try_from(n).ok()?);
    let (mut below, mut rank) = (probability, 0);
    while below <= TAIL && rank < n {
        rank += 1;
        probability *= (n + 1 - rank) as f64 / rank as f64;
        below += probability;
    }
    let low = rank.checked_sub(1)?;
    Some(Interval { low: *sorted.get(low)?, high: *sorted.get(n - 1 - low)? })
}

/// Of a mean, by Student's distribution (Student: The probable error of a mean, Biometrika 6, 1908). None below 2 values.
#[must_use]
pub fn of_mean(moments: &Moments) -> Option<Interval> {
    let dof = moments.n.checked_sub(1).filter(|dof| *dof > 0)? as f64;
    let error = (moments.squares / dof / moments.n as f64).sqrt();
    let half = student(dof) * error;
    Some(Interval { low: moments.mean - half, high: moments.mean + half })
}

/// The quantile 0.975 of Student's distribution: exact for one and two degrees of freedom, else expanded around the normal
/// one (Abramowitz and Stegun: Handbook of mathematical functions, 26.7.5), which is off by less than one in a hundred.
fn student(dof: f64) -> f64 {
    if dof < 1.5 {
        return (std::f64::consts::PI * (0.5 - TAIL)).tan();
    }
    if dof < 2.5 {
        let p = 1.0 - TAIL;
        return (2.0 * p - 1.0) / (2.0 * p * (1.0 - p)).sqrt();
    }
    let power = |n: i32| Z.powi(n);
    let terms = [
        Z,
        (power(3) + Z) / 4.0,
        (5.0 * power(5) + 16.0 * power(3) + 3.0 * Z) / 96.0,
        (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * Z) / 384.0,
        (79.0 * power(9) + 776.0 * power(7) + 1_482.0 * power(5) - 1_920.0 * power(3) - 945.0 * Z) / 92_160.0,
    ];
    terms.iter().rev().fold(0.0, |sum, term| sum / dof + term)
}

/// Count, mean and spread of values that are not kept (Welford: Note on a method for calculating corrected sums of squares
/// and products, Technometrics 4, 1962).
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Moments {
    /// How many.
    pub n: u64,
    /// Their mean.
    pub mean: f64,
    /// The sum of the squares of how far each is from it.
    pub squares: f64,
}

impl Moments {
    pub(crate) fn add(&mut self, value: f64) {
        self.n += 1;
        let off = value - self.mean;
        self.mean += off / self.n as f64;
        self.squares += off * (value - self.mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, known: f64, by: f64) {
        assert!((found - known).abs() <= by, "{found} is not {known}");
    }

    /// The examples of Newcombe: Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, 1998.
    #[test]
    fn shares_have_the_published_intervals() {
        for (part, whole, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let found = of_share(part, whole).unwrap();
            near(found.low, low, 0.00005);
            near(found.high, high, 0.00005);
            let mirrored = of_share(whole - part, whole).unwrap();
            near(mirrored.high, 1.0 - found.low, 1e-12);
        }
        assert_eq!(of_share(0, 0), None);
    }

    /// The ranks that tables of the sign test give.
    #[test]
    fn a_median_lies_between_the_ranks_of_the_tables() {
        let values: Vec<f64> = (1..=500).map(f64::from).collect();
        for (n, rank) in [(6, 1), (10, 2), (15, 4), (20, 6), (25, 8), (30, 10), (500, 228)] {
            let found = of_median(&values[..n]).unwrap();
            assert_eq!((found.low, found.high), (f64::from(rank), (n + 1) as f64 - f64::from(rank)), "of {n}");
        }
        assert_eq!((of_median(&values[..5]), of_median(&[])), (None, None));
    }

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        for (dof, known) in [
            (1.0, 12.706_205),
            (2.0, 4.302_653),
            (3.0, 3.182_446),
            (5.0, 2.570_582),
            (10.0, 2.228_139),
            (30.0, 2.042_272),
        ] {
            near(student(dof), known, known * 0.01);
        }
        near(student(10.0), 2.228_139, 0.0005);
    }

    #[test]
    fn a_mean_has_the_interval_of_its_sample() {
        let mut moments = Moments::default();
        [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].iter().for_each(|value| moments.add(*value));
        assert_eq!((moments.n, moments.mean), (8, 5.0));
        near(moments.squares, 32.0, 1e-12);
        // The standard deviation is the root of 32/7, and the quantile for seven degrees of freedom 2.364624.
        let found = of_mean(&moments).unwrap();
        near(found.high - 5.0, 2.364_624 * (32.0_f64 / 7.0 / 8.0).sqrt(), 0.001);
        near(5.0 - found.low, found.high - 5.0, 1e-12);
        let mut one = Moments::default();
        one.add(1.0);
        assert_eq!(of_mean(&one), None);
    }

    #[test]
    fn intervals_that_only_touch_overlap() {
        let of = |low, high| Interval { low, high };
        assert!(of(0.0, 1.0).overlaps(of(1.0, 2.0)) && of(1.0, 2.0).overlaps(of(0.0, 1.0)));
        assert!(!of(0.0, 1.0).overlaps(of(1.1, 2.0)) && !of(1.1, 2.0).overlaps(of(0.0, 1.0)));
    }
}
