//! The bytes of a journal segment. A segment is a header and then frames; a frame is one batch of records, or a checkpoint.
//! Zeros may follow, which are room for more. Pure: no files, no meaning of payloads.
//!
//! ```text
//! segment header, 16 bytes          frame header, 32 bytes, little-endian       payload
//!   magic      8                      magic          4                            JSON
//!   major u16, minor u16              length of payload u32
//!   CRC-32 of the above               sequence u64   first record, or what a checkpoint stands for
//!                                     count u32      records; 0 is a checkpoint
//!                                     previous u32   header checksum of the frame before
//!                                     CRC-32 of the payload
//!                                     CRC-32 of the header above
//! ```
//!
//! One batch is one frame, so a batch survives whole or not at all, whatever pages of it a power cut kept. Both magics hold
//! bytes that UTF-8 never contains: a payload cannot look like a frame, which lets a scan tell an unfinished last write from
//! damage before good records. No frame ends with a zero, nor has as many of them in a row as its header is long.

use serde::Serialize;

/// Readers accept any; writers refuse a greater major.
pub(crate) const FORMAT: Version = Version { major: 1, minor: 0 };

pub(crate) const HEADER_LEN: usize = 16;
pub(crate) const FRAME_HEADER_LEN: usize = 32;

const HEADER_MAGIC: [u8; 8] = *b"\xf5PIPE\xff\r\n";
const FRAME_MAGIC: [u8; 4] = *b"\xf5R\xff\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u16,
    pub(crate) minor: u16,
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) seq: u64,
    /// Records in it; 0 for a checkpoint.
    pub(crate) count: u32,
    /// The [`Frame::sum`] of the frame before, over segment borders.
    pub(crate) previous: u32,
    pub(crate) len: u32,
    pub(crate) payload_sum: u32,
    /// Checksum of this header, and through the payload's checksum of the whole frame.
    pub(crate) sum: u32,
}

impl Frame {
    pub(crate) fn size(&self) -> usize {
        FRAME_HEADER_LEN + self.len as usize
    }

    pub(crate) fn is_checkpoint(&self) -> bool {
        self.count == 0
    }

    /// The sequence number after this frame.
    pub(crate) fn last_seq(&self) -> u64 {
        if self.is_checkpoint() { self.seq } else { self.seq.saturating_add(u64::from(self.count) - 1) }
    }
}

pub(crate) fn encode_header(version: Version) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(&HEADER_MAGIC);
    bytes[8..10].copy_from_slice(&version.major.to_le_bytes());
    bytes[10..12].copy_from_slice(&version.minor.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

pub(crate) fn decode_header(bytes: &[u8]) -> Option<Version> {
    let header = bytes.get(..HEADER_LEN)?;
    if header[..8] != HEADER_MAGIC || u32_at(header, 12)? != crc32fast::hash(&header[..12]) {
        return None;
    }
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    Some(Version { major: half(8), minor: half(10) })
}

/// Appends one frame whose payload is this as JSON, which stands in memory only there; `None` if it is longer than a frame
/// can say.
pub(crate) fn encode_frame_of(
    out: &mut Vec<u8>,
    seq: u64,
    count: u32,
    previous: u32,
    payload: &impl Serialize,
) -> serde_json::Result<Option<Frame>> {
    let start = out.len();
    out.resize(start + FRAME_HEADER_LEN, 0);
    serde_json::to_writer(&mut *out, payload)?;
    Ok(fill_header(&mut out[start..], seq, count, previous))
}

/// Writes the header of a frame before its payload, which is there already.
fn fill_header(frame: &mut [u8], seq: u64, count: u32, previous: u32) -> Option<Frame> {
    let (header, payload) = frame.split_at_mut(FRAME_HEADER_LEN);
    let len = u32::try_from(payload.len()).ok()?;
    let payload_sum = crc32fast::hash(payload);
    header[..4].copy_from_slice(&FRAME_MAGIC);
    header[4..8].copy_from_slice(&len.to_le_bytes());
    header[8..16].copy_from_slice(&seq.to_le_bytes());
    header[16..20].copy_from_slice(&count.to_le_bytes());
    header[20..24].copy_from_slice(&previous.to_le_bytes());
    header[24..28].copy_from_slice(&payload_sum.to_le_bytes());
    let sum = crc32fast::hash(&header[..28]);
    header[28..].copy_from_slice(&sum.to_le_bytes());
    Some(Frame { seq, count, previous, len, payload_sum, sum })
}

/// The header at the start of `bytes`, if it is a frame's; says nothing of the payload.
pub(crate) fn decode_frame_header(bytes: &[u8]) -> Option<Frame> {
    let header = bytes.get(..FRAME_HEADER_LEN)?;
    let sum = u32_at(header, 28)?;
    if header[..4] != FRAME_MAGIC || sum != crc32fast::hash(&header[..28]) {
        return None;
    }
    let mut seq = [0; 8];
    seq.copy_from_slice(&header[8..16]);
    Some(Frame {
        seq: u64::from_le_bytes(seq),
        count: u32_at(header, 16)?,
        previous: u32_at(header, 20)?,
        len: u32_at(header, 4)?,
        payload_sum: u32_at(header, 24)?,
        sum,
    })
}

/// The frame at the start of `bytes` and its payload, if every byte of it is as written.
pub(crate) fn decode_frame(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let frame = decode_frame_header(bytes)?;
    let payload = bytes.get(FRAME_HEADER_LEN..frame.size())?;
    (crc32fast::hash(payload) == frame.payload_sum).then_some((frame, payload))
}

/// Where the next frame header after `from` is. A header is enough: a write begins only after the one before it was
/// acknowledged, so a later header proves that what precedes it was no unfinished write.
pub(crate) fn find_frame(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(FRAME_MAGIC.len())
        .enumerate()
        .filter(|(_, window)| *window == FRAME_MAGIC)
        .map(|(at, _)| from + at)
        .find(|&at| decode_frame_header(&bytes[at..]).is_some())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let mut word = [0; 4];
    word.copy_from_slice(bytes.get(at..at + 4)?);
    Some(u32::from_le_bytes(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_with_any_bit_flipped_is_no_header() {
        let good = encode_header(FORMAT);
        assert_eq!(decode_header(&good), Some(FORMAT));
        for bit in 0..HEADER_LEN * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_header(&bad), None, "bit {bit}");
        }
    }

    fn encode_frame(out: &mut Vec<u8>, seq: u64, count: u32, previous: u32, payload: &[u8]) -> Option<Frame> {
        let start = out.len();
        out.resize(start + FRAME_HEADER_LEN, 0);
        out.extend_from_slice(payload);
        fill_header(&mut out[start..], seq, count, previous)
    }

    proptest! {
        #[test]
        fn a_frame_survives_and_a_changed_one_does_not(
            seq: u64, count: u32, previous: u32, payload: Vec<u8>, noise: Vec<u8>, flip: prop::sample::Index,
        ) {
            let mut bytes = Vec::new();
            let written = encode_frame(&mut bytes, seq, count, previous, &payload).unwrap();
            let len = bytes.len();
            bytes.extend_from_slice(&noise);
            let (read, body) = decode_frame(&bytes).unwrap();
            prop_assert_eq!(read, written);
            prop_assert_eq!(read.size(), len);
            prop_assert_eq!(body, &payload[..]);
            let bit = flip.index(len * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_frame(&bytes).is_none());
        }

        #[test]
        fn a_shortened_frame_is_no_frame(payload: Vec<u8>, cut: prop::sample::Index) {
            let mut bytes = Vec::new();
            encode_frame(&mut bytes, 1, 1, 0, &payload).unwrap();
            bytes.truncate(cut.index(bytes.len()));
            prop_assert!(decode_frame(&bytes).is_none());
        }

        #[test]
        fn text_never_looks_like_a_frame(text: String) {
            prop_assert_eq!(find_frame(text.as_bytes(), 0), None);
        }

        #[test]
        fn any_bytes_are_decoded_without_panic(bytes: Vec<u8>) {
            let _ = decode_header(&bytes);
            let _ = decode_frame(&bytes);
            let _ = find_frame(&bytes, 0);
        }
    }
}
