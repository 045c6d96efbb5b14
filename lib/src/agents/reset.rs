//! When a usage limit ends, as the message about it says: a number of seconds, a duration, or a time of day.
//!
//! Times of day are read in the zone of `now`, which is the one that the agent programs print; only UTC may be named
//! otherwise. A time that is past, or more than a month away, is a misreading and gives nothing.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(32 * 24);
/// How much of a message is looked at, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Reads an instant from a JSON number: seconds or milliseconds since 1970.
#[must_use]
pub fn from_epoch(number: f64, now: &Zoned) -> Option<Timestamp> {
    if !number.is_finite() || number <= 0.0 {
        return None;
    }
    let seconds = if number > 1e11 { number / 1000.0 } else { number };
    if seconds > 1e11 {
        return None;
    }
    // The range was checked, and what is lost is a fraction of a second.
    sensible(Timestamp::from_second(seconds as i64).ok()?, now)
}

/// Finds when a limit ends in the message about it.
#[must_use]
pub fn from_message(message: &str, now: &Zoned) -> Option<Timestamp> {
    let lower = crate::text::head_bytes(message, MESSAGE_BYTES_MAX).to_ascii_lowercase();
    if let Some((_, number)) = lower.rsplit_once('|')
        && let Ok(number) = number.trim().parse::<f64>()
        && let Some(until) = from_epoch(number, now)
    {
        return Some(until);
    }
    for introduction in ["resets", "reset at", "reset in", "try again", "retry in", "retry after", "available again"] {
        for (at, found) in lower.match_indices(introduction) {
            let words = words(&lower[at + found.len()..]);
            if let Some(until) = from_words(&words, now).and_then(|until| sensible(until, now)) {
                return Some(until);
            }
        }
    }
    None
}

fn sensible(until: Timestamp, now: &Zoned) -> Option<Timestamp> {
    let ahead = until.duration_since(now.timestamp());
    (ahead > SignedDuration::ZERO && ahead <= AHEAD_MAX).then_some(until)
}

/// The first words after an introduction, without punctuation that separates them.
fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '(' | ')' | '·' | ';'))
        .map(|word| word.trim_matches(['.', '"', '\'', '!']))
        .filter(|word| !word.is_empty())
        .take(14)
        .collect()
}

fn from_words(words: &[&str], now: &Zoned) -> Option<Timestamp> {
    let words = match words {
        ["in" | "after", rest @ ..] => return from_duration(rest, now),
        ["at" | "on", rest @ ..] => rest,
        all => all,
    };
    let first = words.first()?;
    if let Ok(number) = first.parse::<f64>()
        && number > 1e8
    {
        return from_epoch(number, now);
    }
    if let Ok(instant) = first.to_ascii_uppercase().parse::<Timestamp>() {
        return Some(instant);
    }
    from_clock(words, now).or_else(|| from_duration(words, now))
}

/// Reads `20m`, `1.5s`, `2 hours 5 minutes`, `1 day and 3 hours`.
fn from_duration(words: &[&str], now: &Zoned) -> Option<Timestamp> {
    let mut total = 0.0;
    let mut found = false;
    let mut index = 0;
    while let Some(word) = words.get(index) {
        index += 1;
        if *word == "and" && found {
            continue;
        }
        let mut rest = *word;
        while rest.starts_with(|c: char| c.is_ascii_digit()) {
            let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let number: f64 = rest[..number_end].parse().ok()?;
            let after = &rest[number_end..];
            let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let unit = if unit_end == 0 {
                index += 1;
                words.get(index - 1).copied()?
            } else {
                &after[..unit_end]
            };
            let Some(seconds) = unit_seconds(unit) else { return duration_from(found, total, now) };
            total += number * seconds;
            found = true;
            rest = &after[unit_end..];
        }
        if !rest.is_empty() && rest == *word {
            break;
        }
    }
    duration_from(found, total, now)
}

fn duration_from(found: bool, seconds: f64, now: &Zoned) -> Option<Timestamp> {
    if !found || seconds > AHEAD_MAX.as_secs_f64() {
        return None;
    }
    let ahead = SignedDuration::try_from_secs_f64(seconds.ceil()).ok()?;
    now.timestamp().checked_add(ahead).ok()
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "ms" | "milliseconds" | "millisecond" => Some(0.001),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1.0),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60.0),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3600.0),
        "d" | "day" | "days" => Some(86400.0),
        "w" | "week" | "weeks" => Some(604_800.0),
        _ => None,
    }
}

/// Reads `7:10pm`, `2pm`, `5:55 am`, `19:10`, each with a date before it or not.
fn from_clock(words: &[&str], now: &Zoned) -> Option<Timestamp> {
    let (date, rest) = date(words, now)?;
    let rest = match rest {
        ["at", rest @ ..] => rest,
        all => all,
    };
    let (time, rest) = time(rest)?;
    let zone =
        if matches!(rest.first(), Some(&("utc" | "gmt" | "z"))) { TimeZone::UTC } else { now.time_zone().clone() };
    let here = now.with_time_zone(zone.clone());
    let on = |date: Date| Some(date.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp());
    match date {
        Some(date) => on(date),
        None => match on(here.date())? {
            today if today > now.timestamp() => Some(today),
            _ => on(here.date().tomorrow().ok()?),
        },
    }
}

/// Splits off `nov 21st 2026`, `apr 23` or `2026-11-21`, or no date at all. Without a year it is the next such day; a day
/// that does not exist makes the whole unreadable.
fn date<'a, 'b>(words: &'b [&'a str], now: &Zoned) -> Option<(Option<Date>, &'b [&'a str])> {
    if let Some(date) = words.first().and_then(|word| word.parse::<Date>().ok()) {
        return Some((Some(date), &words[1..]));
    }
    let [month, day, rest @ ..] = words else { return Some((None, words)) };
    let Some(month) = month_number(month) else { return Some((None, words)) };
    let day = day.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse::<i8>().ok()?;
    let year = rest.first().filter(|word| word.len() == 4).and_then(|word| word.parse::<i16>().ok());
    if let Some(year) = year {
        return Some((Some(Date::new(year, month, day).ok()?), &rest[1..]));
    }
    let today = now.date();
    let next = match Date::new(today.year(), month, day).ok()? {
        date if date < today => Date::new(today.year().checked_add(1)?, month, day).ok()?,
        date => date,
    };
    Some((Some(next), rest))
}

fn month_number(word: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    if word.len() < 3 {
        return None;
    }
    let index = MONTHS.iter().position(|month| month.starts_with(word))?;
    i8::try_from(index + 1).ok()
}

fn time<'a, 'b>(words: &'b [&'a str]) -> Option<(Time, &'b [&'a str])> {
    let (first, mut rest) = words.split_first()?;
    let digits = first.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let mut half = &first[digits.len()..];
    if half.is_empty()
        && let Some(("am" | "pm", after)) = rest.split_first().map(|(word, after)| (*word, after))
    {
        half = rest[0];
        rest = after;
    }
    let (hour, minute) = match digits.split_once(':') {
        Some((hour, minute)) => (hour.parse::<i8>().ok()?, minute.get(..2)?.parse::<i8>().ok()?),
        // A bare number says nothing about the time of day.
        None if half.is_empty() => return None,
        None => (digits.parse::<i8>().ok()?, 0),
    };
    let hour = match half {
        "" => hour,
        "am" if (1..=12).contains(&hour) => hour % 12,
        "pm" if (1..=12).contains(&hour) => hour % 12 + 12,
        _ => return None,
    };
    Some((Time::new(hour, minute, 0, 0).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;
    use proptest::prelude::*;

    /// Noon in a zone two hours ahead of UTC.
    fn now() -> Zoned {
        "2026-11-21T10:00:00Z".parse::<Timestamp>().unwrap().to_zoned(TimeZone::fixed(Offset::constant(2)))
    }

    #[test]
    fn resets_are_read_in_the_ways_they_are_written() {
        for (message, expected) in [
            ("You've hit your limit · resets 7:10pm", "2026-11-21T17:10:00Z"),
            ("You've hit your limit · resets 2pm (Europe/Athens)", "2026-11-21T12:00:00Z"),
            ("resets 2pm (UTC)", "2026-11-21T14:00:00Z"),
            ("resets 11am", "2026-11-22T09:00:00Z"),
            ("resets 12am", "2026-11-21T22:00:00Z"),
            ("resets 12pm.", "2026-11-22T10:00:00Z"),
            ("resets at 19:10", "2026-11-21T17:10:00Z"),
            ("You've hit your limit · resets Nov 23 at 4pm (Europe/Athens)", "2026-11-23T14:00:00Z"),
            ("resets Nov 23, 4pm", "2026-11-23T14:00:00Z"),
            ("purchase more credits or try again at 5:55 PM.", "2026-11-21T15:55:00Z"),
            ("or try again at Nov 23rd, 2026 5:55 AM.", "2026-11-23T03:55:00Z"),
            ("resets Dec 1 at 9am", "2026-12-01T07:00:00Z"),
            ("Please try again in 20s.", "2026-11-21T10:00:20Z"),
            ("try again in 20m", "2026-11-21T10:20:00Z"),
            ("try again in 1h30m", "2026-11-21T11:30:00Z"),
            ("Please try again in 1.5s", "2026-11-21T10:00:02Z"),
            ("try again in 3 days 2 hours 5 minutes.", "2026-11-24T12:05:00Z"),
            ("try again in 1 hour and 2 minutes", "2026-11-21T11:02:00Z"),
            ("Please retry in 34.07s.", "2026-11-21T10:00:35Z"),
            ("retry after 30 seconds", "2026-11-21T10:00:30Z"),
            ("resets 2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z"),
            ("Claude AI usage limit reached|1795258800", "2026-11-21T11:00:00Z"),
            ("resets at 1795258800", "2026-11-21T11:00:00Z"),
        ] {
            assert_eq!(
                from_message(message, &now()).map(|until| until.to_string()).as_deref(),
                Some(expected),
                "{message}"
            );
        }
    }

    #[test]
    fn nothing_is_read_into_other_texts() {
        for message in [
            "",
            "resets",
            "try again",
            "Please try again later.",
            "resets soon",
            "resets 25:00",
            "resets 13pm",
            "resets 7",
            "try again in a moment",
            "try again in 5",
            "try again in 400 days",
            "resets at 1000",
            "resets Nov 40 at 4pm",
            "usage limit reached|1",
            "try again at 99999999999999999999",
            "resets Jan 3 2020 at 4pm",
            "resets 0:0:0pm",
        ] {
            assert_eq!(from_message(message, &now()), None, "{message}");
        }
        for number in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300, 1.0] {
            assert_eq!(from_epoch(number, &now()), None);
        }
        assert!(from_epoch(1_795_258_800_000.0, &now()).is_some(), "milliseconds");
    }

    proptest! {
        #[test]
        fn never_panics_and_never_looks_back(rest in "[0-9a-z:., |]{0,30}|\\PC{0,20}") {
            for introduction in ["resets ", "try again in ", "try again at ", "|"] {
                if let Some(until) = from_message(&format!("{introduction}{rest}"), &now()) {
                    prop_assert!(until > now().timestamp());
                }
            }
        }
    }
}
