//! Quantities as people read them: short, with their unit, and no more exact than they are known.

/// `81204` as `81,204`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A length of time in seconds, in at most six columns.
pub(super) fn length(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m{:02}s", s / 60, s % 60),
        s @ 3_600..360_000 => format!("{}h{:02}m", s / 3_600, s / 60 % 60),
        s => format!("{}d", s / 86_400),
    }
}

/// A length of time that is only a guess, in seconds.
pub(super) fn roughly(seconds: f64) -> String {
    let rounded = |unit: f64| (seconds / unit).round().max(1.0) as i64;
    match seconds {
        s if s < 10.0 => "5s".to_owned(),
        s if s < 90.0 => format!("{}s", rounded(10.0) * 10),
        s if s < 90.0 * 60.0 => format!("{}m", rounded(60.0)),
        s if s < 48.0 * 3_600.0 => format!("{}h", rounded(3_600.0)),
        _ => format!("{}d", rounded(86_400.0)),
    }
}

/// A length of time that was measured, in seconds, in at most five columns.
pub(super) fn span(seconds: f64) -> String {
    let (number, unit) = match seconds.max(0.0) {
        s if s < 59.5 => (s, 's'),
        s if s < 59.5 * 60.0 => (s / 60.0, 'm'),
        s if s < 47.5 * 3_600.0 => (s / 3_600.0, 'h'),
        s => (s / 86_400.0, 'd'),
    };
    // One place behind the point where it says something.
    let tenths = (number * 10.0).round();
    if tenths < 100.0 && tenths % 10.0 != 0.0 {
        format!("{:.1}{unit}", tenths / 10.0)
    } else {
        format!("{number:.0}{unit}")
    }
}

/// A number in at most five columns: `950`, `12.3k`, `1.2M`.
pub(super) fn short(number: u64) -> String {
    let n = number as f64;
    match number {
        0..1_000 => number.to_string(),
        1_000..99_950 => format!("{:.1}k", n / 1e3),
        99_950..999_500 => format!("{:.0}k", n / 1e3),
        999_500..99_950_000 => format!("{:.1}M", n / 1e6),
        99_950_000..999_500_000 => format!("{:.0}M", n / 1e6),
        _ => format!("{:.1}G", n / 1e9),
    }
}

/// US dollars; where no cost is known, a sign for that.
pub(super) fn money(dollars: f64) -> String {
    if dollars <= 0.0 {
        return "-".to_owned();
    }
    if dollars < 0.005 {
        return "<$0.01".to_owned();
    }
    if dollars >= 1_000.0 { format!("${}", grouped(dollars.round() as u64)) } else { format!("${dollars:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_short_and_say_their_unit() {
        for (seconds, expected) in [(0, "0s"), (59, "59s"), (312, "5m12s"), (7_500, "2h05m"), (400_000, "4d")] {
            assert_eq!(length(seconds), expected);
        }
        for (seconds, expected) in
            [(3.0, "5s"), (44.0, "40s"), (100.0, "2m"), (3_700.0, "62m"), (9_000.0, "3h"), (200_000.0, "2d")]
        {
            assert_eq!(roughly(seconds), expected);
        }
        for (seconds, expected) in [
            (0.26, "0.3s"),
            (9.97, "10s"),
            (42.0, "42s"),
            (100.0, "1.7m"),
            (3_600.0, "1h"),
            (7_000.0, "1.9h"),
            (999_999.0, "12d"),
        ] {
            assert_eq!(span(seconds), expected);
        }
        for (number, expected) in
            [(999, "999"), (12_345, "12.3k"), (99_951, "100k"), (999_600, "1.0M"), (5_000_000_000, "5.0G")]
        {
            assert_eq!(short(number), expected);
        }
        assert_eq!((money(0.0), money(0.001)), ("-".into(), "<$0.01".into()), "none is known, or hardly any");
        assert_eq!((money(0.424), money(1_234.5), grouped(81_204)), ("$0.42".into(), "$1,235".into(), "81,204".into()));
    }
}
