//! What is said between a run's host and those who look at its terminal: a request or a reply a message, as JSON behind
//! its length in four bytes, most significant first.
//!
//! A host sends nothing that was not asked for, and never more than one update that the other side has not taken: whoever
//! reads slowly sees fewer pictures, and holds nobody up.

use serde::{Deserialize, Serialize};

use super::{Input, Size, Update};
use crate::ids::RunId;

/// The form of the messages. A side that is told another number says so and ends the connection. What is added without a
/// new number can be left out, since a host may be older than who looks at it.
pub const VERSION: u32 = 1;

/// How many lines further up a place is that was named by a picture, once so many lines have left the present screen.
#[must_use]
pub fn lines_since(at: Option<u64>, scrolled: u64) -> usize {
    at.map_or(0, |at| usize::try_from(scrolled.saturating_sub(at)).unwrap_or(usize::MAX))
}

/// The longest message in bytes; whoever sends a longer one is not understood and is hung up on.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a viewer asks of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// The first message.
    Hello {
        /// [`VERSION`].
        version: u32,
    },
    /// From here on to be told what the terminal shows, until the next of these. The first update is complete.
    View {
        /// The size that the terminal should have. The latest wish of those who look counts.
        resize: Option<Size>,
        /// How many lines above the present screen to look; 0 to look at it.
        offset: usize,
        /// In which picture that many, by its [`scrolled`](super::Frame::scrolled); none for now.
        at: Option<u64>,
        /// The shortest time between two updates. What follows an input of this viewer comes at once.
        interval_ms: u64,
    },
    /// To be told nothing any more, until the next `View`.
    Pause,
    /// Something to do to the terminal.
    Input {
        /// What.
        input: Input,
    },
    /// To look for a text, without regard to case, from a line on.
    Search {
        /// The text.
        needle: String,
        /// The offset to begin above (or below).
        offset: usize,
        /// In which picture, as for `View`. What is found is told for the same picture.
        at: Option<u64>,
        /// Towards the present instead of the past.
        forward: bool,
    },
    /// To be given the text of lines: from the one `from` lines above the last row of the present screen to the one
    /// `to` lines above it, both included.
    Text {
        /// The oldest line.
        from: usize,
        /// The newest line.
        to: usize,
        /// In which picture, as for `View`.
        at: Option<u64>,
    },
}

/// What a host answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To `Hello`.
    Hello {
        /// [`VERSION`].
        version: u32,
        /// Whose terminal this is.
        run: RunId,
        /// How large it is.
        size: Size,
    },
    /// To `View`, whenever there is something new.
    Update {
        /// What changed since the last one.
        update: Update,
    },
    /// To `Input`: it was handed to the program.
    Taken,
    /// To `Input`: it was not, because the program does not read what it was given already.
    Refused {
        /// Why, for a person.
        why: String,
    },
    /// To `Search`: the offset at which the line with the text is in sight; none if there is no such line.
    Found {
        /// Where.
        offset: Option<usize>,
    },
    /// To `Text`.
    Text {
        /// The lines, oldest first, made safe.
        lines: Vec<String>,
    },
    /// The program has ended; nothing follows.
    Ended,
}

/// A message with its length, ready to send. None for one that is longer than any may be.
#[must_use]
pub fn encode<T: Serialize>(message: &T) -> Option<Vec<u8>> {
    let mut bytes = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut bytes, message).ok()?;
    let length = u32::try_from(bytes.len() - LENGTH_BYTES).ok()?;
    if length as usize > MESSAGE_BYTES_MAX {
        return None;
    }
    bytes.get_mut(..LENGTH_BYTES)?.copy_from_slice(&length.to_be_bytes());
    Some(bytes)
}

/// How long the length is.
const LENGTH_BYTES: usize = 4;

/// Puts messages together from pieces of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// How many of them are used up.
    taken: usize,
}

/// The other side says what no message of ours says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A message is longer than any may be.
    #[error("a message of {0} bytes, where {MESSAGE_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// A message is not one of those expected.
    #[error("not a message: {0}")]
    Unknown(String),
}

impl Decoder {
    /// Takes in what was received.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, if one is there.
    ///
    /// # Errors
    /// When it is none; what follows cannot be trusted then.
    pub fn next_message<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>, Malformed> {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(Malformed::TooLong(length));
        }
        let Some(message) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(message).map_err(|error| Malformed::Unknown(error.to_string()))?;
        self.taken += LENGTH_BYTES + length;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_being_cut_at_every_byte() {
        let first = Request::Hello { version: VERSION };
        let second = Request::Search { needle: "näher".to_owned(), offset: 3, at: Some(7), forward: true };
        let mut bytes = encode(&first).expect("short");
        bytes.extend(encode(&second).expect("short"));
        for cut in 0..=bytes.len() {
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                decoder.push(part);
                while let Some(message) = decoder.next_message::<Request>().expect("whole") {
                    got.push(message);
                }
            }
            assert_eq!(got, [first.clone(), second.clone()], "cut at {cut}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_it_is_waited_for() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_be_bytes());
        assert_eq!(decoder.next_message::<Request>(), Err(Malformed::TooLong(u32::MAX as usize)));
    }

    fn read<T: for<'de> Deserialize<'de>>(json: &str) -> Result<Option<T>, Malformed> {
        let mut decoder = Decoder::default();
        decoder.push(&u32::try_from(json.len()).expect("short").to_be_bytes());
        decoder.push(json.as_bytes());
        decoder.next_message()
    }

    #[test]
    fn messages_from_before_pictures_were_numbered_are_read() {
        let update = r#"{"reply":"update","update":{"size":{"columns":9,"rows":2},"lines":[[0,[{"t":"here"}]]],
            "cursor":null,"offset":0,"history":3,"title":"","modes":{}}}"#;
        let Ok(Some(Reply::Update { update })) = read(update) else { panic!("it is not read") };
        assert_eq!((update.scrolled, update.history, update.lines.len()), (0, 3, 1));
        let view = r#"{"request":"view","resize":null,"offset":4,"interval_ms":33}"#;
        assert_eq!(read(view), Ok(Some(Request::View { resize: None, offset: 4, at: None, interval_ms: 33 })));
        let text = r#"{"request":"text","from":2,"to":1}"#;
        assert_eq!(read(text), Ok(Some(Request::Text { from: 2, to: 1, at: None })));
        let search = r#"{"request":"search","needle":"x","offset":0,"forward":true}"#;
        let asked = Request::Search { needle: "x".to_owned(), offset: 0, at: None, forward: true };
        assert_eq!(read(search), Ok(Some(asked)));
    }

    #[test]
    fn a_message_without_what_was_always_there_is_refused_by_its_name() {
        let Err(Malformed::Unknown(why)) = read::<Request>(r#"{"request":"view","resize":null}"#) else {
            panic!("it is read")
        };
        assert!(why.contains("missing field `offset`"), "{why}");
    }

    #[test]
    fn a_message_of_another_kind_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&encode(&Reply::Ended).expect("short"));
        assert!(matches!(decoder.next_message::<Request>(), Err(Malformed::Unknown(_))));
    }
}
