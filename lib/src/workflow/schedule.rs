//! When something is to happen again and again: cron expressions, and the plain words that most schedules are written
//! in. Pure arithmetic in UTC; who waits and what happens is somebody else's business.

use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How schedules are written, as a full sentence.
pub const EXAMPLES: &str = "Write \"every 5 minutes\", \"every 2 hours\", \"hourly\", \"daily at 03:00\", \"every monday at 9:30\", \
                            or a cron expression such as \"*/5 * * * *\" (UTC).";
/// Shorter steps are polling, which a probe or a watch does better.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
/// The longest step that words can name.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);
/// The longest text that is read as a schedule.
const TEXT_BYTES_MAX: usize = 200;

/// A schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(Kind);

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// At every multiple of this many seconds since 1970.
    Every(i64),
    Cron(Box<Cron>),
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What is wrong, as a fragment that can stand alone.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("a schedule has at most {TEXT_BYTES_MAX} bytes"));
        }
        // A remark in brackets, and words joined by underscores, as other tools write them.
        let words = text.split('(').next().unwrap_or_default().trim().to_ascii_lowercase().replace('_', " ");
        let words: Vec<&str> = words.split_whitespace().collect();
        let shown = crate::text::one_line(text, 60);
        let schedule = match words.as_slice() {
            [] => return Err("the schedule is empty".to_owned()),
            ["every", rest @ ..] => every(rest).ok_or_else(|| format!("`{shown}` is not a schedule"))?,
            ["continuous" | "continuously"] => Self(Kind::Every(60)),
            ["hourly"] => cron("0 * * * *")?,
            ["daily" | "nightly"] => cron("0 0 * * *")?,
            ["weekly"] => cron("0 0 * * 0")?,
            ["monthly"] => cron("0 0 1 * *")?,
            ["yearly" | "annually"] => cron("0 0 1 1 *")?,
            ["daily", "at", time] => at(time, "*").ok_or_else(|| format!("`{time}` is not a time of day"))?,
            _ if text.split_whitespace().count() == 5 || text.trim_start().starts_with('@') => {
                cron(text).map_err(|problem| format!("`{shown}` is not a cron expression: {problem}"))?
            }
            _ => return Err(format!("`{shown}` is not a schedule")),
        };
        match schedule.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(format!("the time `{shown}` never comes")),
        }
    }

    /// The first time after this one; `None` if there is none any more.
    #[must_use]
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Kind::Every(seconds) => {
                let steps = time.as_second().div_euclid(*seconds).checked_add(1)?;
                Timestamp::from_second(steps.checked_mul(*seconds)?).ok()
            }
            Kind::Cron(cron) => {
                let next = cron.find_next_occurrence(&time.to_zoned(TimeZone::UTC), false).ok()?;
                Some(next.timestamp())
            }
        }
    }
}

impl FromStr for Schedule {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

fn cron(text: &str) -> Result<Schedule, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| error.to_string())?;
    Ok(Schedule(Kind::Cron(Box::new(cron))))
}

/// What follows the word "every".
fn every(words: &[&str]) -> Option<Schedule> {
    let weekday = |word: &str| {
        let days = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
        days.iter().position(|day| *day == word).map(|day| day.to_string())
    };
    let step = match words {
        ["week"] => return cron("0 0 * * 0").ok(),
        ["month"] => return cron("0 0 1 * *").ok(),
        ["day", "at", time] => return at(time, "*"),
        ["weekday", "at", time] => return at(time, "1-5"),
        ["weekday"] => return at("0:00", "1-5"),
        [day, "at", time] => return at(time, &weekday(day)?),
        [unit] => match weekday(unit) {
            Some(day) => return at("0:00", &day),
            // A number and its unit in one word.
            None if unit.starts_with(|c: char| c.is_ascii_digit()) => unit.parse::<SignedDuration>().ok()?,
            None => unit_of(unit)?,
        },
        [count, unit] => {
            let count = count.parse::<u32>().ok()?;
            unit_of(unit)?.checked_mul(i32::try_from(count).ok()?)?
        }
        _ => return None,
    };
    (SHORTEST..=LONGEST).contains(&step).then(|| Schedule(Kind::Every(step.as_secs())))
}

fn unit_of(word: &str) -> Option<SignedDuration> {
    Some(match word.strip_suffix('s').unwrap_or(word) {
        "second" | "sec" => SignedDuration::from_secs(1),
        "minute" | "min" => SignedDuration::from_mins(1),
        "hour" => SignedDuration::from_hours(1),
        "day" => SignedDuration::from_hours(24),
        "week" => SignedDuration::from_hours(24 * 7),
        _ => return None,
    })
}

/// A time of day on some days of the week.
fn at(time: &str, days: &str) -> Option<Schedule> {
    let (hour, minute) = time.split_once(':')?;
    let number = |text: &str, below: u32| text.parse::<u32>().ok().filter(|number| *number < below && text.len() <= 2);
    let (hour, minute) = (number(hour, 24)?, number(minute, 60)?);
    cron(&format!("{minute} {hour} * * {days}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn next(schedule: &str, after: &str) -> String {
        Schedule::parse(schedule).unwrap().next_after(after.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_next_time_is_found() {
        const AT: &str = "2026-03-14T10:02:30Z"; // a Saturday
        for (schedule, expected) in [
            ("every 5 minutes", "2026-03-14T10:05:00Z"),
            ("every_15_minutes", "2026-03-14T10:15:00Z"),
            ("Every 5 minutes (continuous)", "2026-03-14T10:05:00Z"),
            ("every 2 hours", "2026-03-14T12:00:00Z"),
            ("every minute", "2026-03-14T10:03:00Z"),
            ("every 90s", "2026-03-14T10:03:00Z"),
            ("hourly", "2026-03-14T11:00:00Z"),
            ("daily", "2026-03-15T00:00:00Z"),
            ("every day", "2026-03-15T00:00:00Z"),
            ("daily at 03:15", "2026-03-15T03:15:00Z"),
            ("weekly", "2026-03-15T00:00:00Z"),
            ("monthly", "2026-04-01T00:00:00Z"),
            ("every monday at 9:30", "2026-03-16T09:30:00Z"),
            ("every weekday at 18:00", "2026-03-16T18:00:00Z"),
            ("*/5 * * * *", "2026-03-14T10:05:00Z"),
            ("30 4 1,15 * 5", "2026-03-15T04:30:00Z"),
            ("@daily", "2026-03-15T00:00:00Z"),
            ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
        ] {
            assert_eq!(next(schedule, AT), expected, "{schedule}");
        }
        // The time itself is not after itself.
        assert_eq!(next("every 5 minutes", "2026-03-14T10:05:00Z"), "2026-03-14T10:10:00Z");
        assert_eq!(next("*/5 * * * *", "2026-03-14T10:05:00Z"), "2026-03-14T10:10:00Z");
    }

    #[test]
    fn mistakes_are_named() {
        for (schedule, expected) in [
            ("", "the schedule is empty"),
            ("sometimes", "`sometimes` is not a schedule"),
            ("every 0 minutes", "`every 0 minutes` is not a schedule"),
            ("every 5 parsecs", "`every 5 parsecs` is not a schedule"),
            ("daily at 25:00", "`25:00` is not a time of day"),
            ("* * * * * *", "`* * * * * *` is not a schedule"),
            ("0 0 30 2 *", "the time `0 0 30 2 *` never comes"),
        ] {
            assert_eq!(Schedule::parse(schedule).unwrap_err(), expected, "{schedule}");
        }
        assert!(Schedule::parse("61 * * * *").unwrap_err().starts_with("`61 * * * *` is not a cron expression"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_the_next_time_is_later(text in "[a-z0-9*/,@: -]{0,20}|every [0-9]{1,6} [a-z]{3,7}", at in 0_i64..4_000_000_000) {
            let at = Timestamp::from_second(at).unwrap();
            if let Ok(schedule) = Schedule::parse(&text) {
                prop_assert!(schedule.next_after(at).is_none_or(|next| next > at));
            }
        }
    }
}
