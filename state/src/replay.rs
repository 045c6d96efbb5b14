//! From bytes to a machine: decodes frames, checks that they follow one another, and applies their facts. Decides nothing
//! about damage; it says where the good bytes end and what lies behind them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::{Result, StateError};
use crate::format::{self, Frame};
use crate::machine::{Body, Machine, Record};

/// A machine and the place in history it stands at.
#[derive(Debug)]
pub(crate) struct Position<M> {
    pub(crate) machine: M,
    pub(crate) seq: u64,
    /// Checksum of the last frame header read; the next frame must name it.
    pub(crate) chain: u32,
    /// Records whose kind we do not know: the first, and how many. The machine lacks them, so it must not be written from.
    pub(crate) unknown: Option<(u64, u64)>,
}

impl<M: Default> Position<M> {
    /// Before the first record of all.
    pub(crate) fn origin() -> Position<M> {
        Position { machine: M::default(), seq: 0, chain: 0, unknown: None }
    }
}

/// Where the good frames of some bytes end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes that are good.
    pub(crate) good: usize,
    /// Where the last good frame begins.
    pub(crate) last_frame: Option<usize>,
    pub(crate) rest: Rest,
}

/// What follows the good frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    /// Bytes without a frame in them: a write that did not finish, or has not yet.
    Torn,
    /// Bytes that cannot be what was written there, because a later frame follows or because they fit no history.
    Damaged,
}

/// Applies the frames in `bytes` that continue `position`, and gives their records to `seen`.
pub(crate) fn replay<M: Machine>(
    position: &mut Position<M>,
    bytes: &[u8],
    mut seen: impl FnMut(Record<M::Fact>),
) -> Extent {
    let mut good = 0;
    let mut last_frame = None;
    loop {
        let Some((frame, payload)) = format::decode_frame(&bytes[good..]) else {
            return Extent { good, last_frame, rest: rest_of(bytes, good) };
        };
        if !follows(&frame, position.seq, position.chain) || !apply(position, &frame, payload, &mut seen) {
            return Extent { good, last_frame, rest: Rest::Damaged };
        }
        position.chain = frame.sum;
        last_frame = Some(good);
        good += frame.size();
    }
}

fn follows(frame: &Frame, seq: u64, chain: u32) -> bool {
    !frame.is_checkpoint() && frame.previous == chain && seq.checked_add(1) == Some(frame.seq)
}

pub(crate) fn rest_of(bytes: &[u8], good: usize) -> Rest {
    if good >= bytes.len() {
        Rest::Nothing
    } else if format::find_frame(bytes, good + 1).is_some() {
        Rest::Damaged
    } else {
        Rest::Torn
    }
}

/// Whether the payload was as many records as its header says.
fn apply<M: Machine>(
    position: &mut Position<M>,
    frame: &Frame,
    payload: &[u8],
    seen: &mut impl FnMut(Record<M::Fact>),
) -> bool {
    if let Ok(bodies) = serde_json::from_slice::<Vec<Body<M::Fact>>>(payload) {
        if bodies.len() != frame.count as usize {
            return false;
        }
        for body in bodies {
            position.seq += 1;
            let record = body.with_seq(position.seq);
            position.machine.apply(&record);
            seen(record);
        }
        return true;
    }
    // Perhaps a newer program's facts are among them: the others still count for a reader.
    let Some(records) = decode_raw(frame, payload) else {
        return false;
    };
    for record in records {
        position.seq = record.seq;
        match serde_json::from_value::<M::Fact>(record.fact) {
            Ok(fact) => {
                let record = Record { seq: record.seq, at: record.at, actor: record.actor, fact };
                position.machine.apply(&record);
                seen(record);
            }
            Err(_) => {
                let unknown = position.unknown.get_or_insert((record.seq, 0));
                unknown.1 += 1;
            }
        }
    }
    true
}

/// The records of a frame without knowing their facts.
pub(crate) fn decode_raw(frame: &Frame, payload: &[u8]) -> Option<Vec<Record<Value>>> {
    let bodies: Vec<Body<Value>> = serde_json::from_slice(payload).ok()?;
    if bodies.len() != frame.count as usize {
        return None;
    }
    Some(bodies.into_iter().zip(frame.seq..).map(|(body, seq)| body.with_seq(seq)).collect())
}

/// A list of which each element was read and none is kept.
struct Each<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for One<T> {
            type Value = Each<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Each<T>, A::Error> {
                while list.next_element::<T>()?.is_some() {}
                Ok(Each(PhantomData))
            }
        }
        deserializer.deserialize_seq(One(PhantomData))
    }
}

/// The frame of one batch, after making sure that it can be read back: what is in the journal must never be what stops
/// the next start.
pub(crate) fn encode_batch<M: Machine>(
    path: &std::path::Path,
    chain: u32,
    records: &[Record<M::Fact>],
) -> Result<(Vec<u8>, Frame)> {
    let unstorable = |detail: String| StateError::Unstorable { path: path.to_owned(), detail };
    let first = records.first().ok_or_else(|| unstorable("a batch without records".to_owned()))?.seq;
    let bodies: Vec<crate::machine::BodyRef<'_, M::Fact>> = records.iter().map(Into::into).collect();
    let count = u32::try_from(records.len()).map_err(|error| unstorable(error.to_string()))?;
    let mut bytes = Vec::new();
    let frame = format::encode_frame_of(&mut bytes, first, count, chain, &bodies)
        .map_err(|error| unstorable(error.to_string()))?
        .ok_or_else(|| unstorable("a batch of more than 4 GiB".to_owned()))?;
    let payload = &bytes[bytes.len() - frame.len as usize..];
    serde_json::from_slice::<Each<Body<M::Fact>>>(payload).map_err(|error| unstorable(error.to_string()))?;
    Ok((bytes, frame))
}
