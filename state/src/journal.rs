//! The journal on disk: segments that begin with a checkpoint of the whole machine and continue with batches. Finds the
//! newest usable checkpoint, appends one batch with one write and one sync, begins new segments and drops old ones. Zeros
//! behind the last record are room for the next ones. Locks nothing: callers that write hold the lock.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Result, StateError};
use crate::files::{self, Faults, FileId};
use crate::format::{self, FORMAT, FRAME_HEADER_LEN, Frame, HEADER_LEN, Version};
use crate::layout::Layout;
use crate::machine::Machine;
use crate::replay::{self, Extent, Position, Rest};

/// The open end of the newest segment.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) id: FileId,
    pub(crate) version: Version,
    pub(crate) file: File,
    writer: Option<File>,
    /// Where the batches begin.
    pub(crate) start: u64,
    /// Where the good bytes end and the next batch goes.
    pub(crate) end: u64,
    /// Where the last good frame begins.
    pub(crate) last_frame: u64,
    /// Up to where this process knows the bytes to be durable.
    synced: u64,
    /// How long the file was when all of it was read. As long as it is no longer, there is nothing behind zeros.
    read_whole: u64,
    /// Bytes of an unfinished write at the end.
    pub(crate) torn: u64,
}

/// Where the journal contradicts its checksums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) detail: String,
}

impl From<Damage> for StateError {
    fn from(damage: Damage) -> StateError {
        StateError::Corrupt { path: damage.path, offset: damage.offset, detail: damage.detail }
    }
}

/// What a start found.
#[derive(Debug)]
pub(crate) struct Loaded<M> {
    pub(crate) position: Position<M>,
    /// `None` if only the machine before all records could be had.
    pub(crate) tail: Option<Tail>,
    pub(crate) damage: Option<Damage>,
    /// The newest segment: number, identity, size.
    pub(crate) newest: (u64, FileId, u64),
}

/// A segment read into memory.
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) id: FileId,
    pub(crate) file: File,
    /// What is in it, without the room at its end.
    pub(crate) bytes: Vec<u8>,
    /// How long the file is.
    pub(crate) len: u64,
}

/// Where a segment begins.
pub(crate) struct Base<M> {
    position: Position<M>,
    version: Version,
    checkpoint: Frame,
}

impl Segment {
    pub(crate) fn read(layout: &Layout, number: u64) -> Result<Segment> {
        let path = layout.segment(number);
        let file = files::open_read(&path)?;
        let id = FileId::of_file(&file, &path)?;
        let mut bytes = files::read_from(&file, 0, &path)?;
        let len = bytes.len() as u64;
        bytes.truncate(files::len_without_zeros(&bytes).max(HEADER_LEN.min(bytes.len())));
        Ok(Segment { path, id, file, bytes, len })
    }

    /// The checkpoint at its start, or at which byte that is damaged.
    pub(crate) fn checkpoint(&self) -> Result<(Version, Frame, &[u8]), Damage> {
        let damage = |offset: usize, detail: &str| Damage {
            path: self.path.clone(),
            offset: offset as u64,
            detail: detail.to_owned(),
        };
        let version = format::decode_header(&self.bytes).ok_or_else(|| damage(0, "its header is unreadable"))?;
        match format::decode_frame(&self.bytes[HEADER_LEN..]) {
            Some((frame, payload)) if frame.is_checkpoint() => Ok((version, frame, payload)),
            _ => Err(damage(HEADER_LEN, "its checkpoint is unreadable")),
        }
    }

    /// The machine at its checkpoint. The outer error is final; damage lets an older segment serve.
    pub(crate) fn base<M: Machine>(&self) -> Result<Result<Base<M>, Damage>> {
        let (version, frame, payload) = match self.checkpoint() {
            Ok(found) => found,
            Err(damage) => return Ok(Err(damage)),
        };
        match serde_json::from_slice(payload) {
            Ok(machine) => {
                let position = Position { machine, seq: frame.seq, chain: frame.sum, unknown: None };
                Ok(Ok(Base { position, version, checkpoint: frame }))
            }
            // The bytes are as they were written, so another program wrote them: an older segment would hide its work.
            Err(_) if version.major > FORMAT.major => Err(newer(&self.path, version)),
            Err(error) => {
                Err(StateError::UnknownContent { path: self.path.clone(), seq: frame.seq, detail: error.to_string() })
            }
        }
    }

    /// The machine at its checkpoint and the last record that it stands for; errors as of [`Segment::base`].
    pub(crate) fn machine<M: Machine>(&self) -> Result<Result<(M, u64), Damage>> {
        Ok(self.base()?.map(|base| (base.position.machine, base.position.seq)))
    }

    pub(crate) fn tail(self, number: u64, version: Version, checkpoint: &Frame) -> Tail {
        let start = (HEADER_LEN + checkpoint.size()) as u64;
        Tail {
            number,
            path: self.path,
            id: self.id,
            version,
            file: self.file,
            writer: None,
            start,
            end: start,
            last_frame: HEADER_LEN as u64,
            synced: 0,
            read_whole: self.len,
            torn: 0,
        }
    }
}

pub(crate) fn newer(path: &Path, version: Version) -> StateError {
    StateError::NewerFormat { path: path.to_owned(), found: version.major, ours: FORMAT.major }
}

/// Reads the newest segment whose checkpoint is good, and what follows it.
pub(crate) fn load<M: Machine>(layout: &Layout) -> Result<Loaded<M>> {
    let numbers = layout.segments()?;
    let Some(&newest_number) = numbers.last() else {
        return Err(nothing_there(layout));
    };
    let mut damage = None;
    let mut newest = None;
    for &number in numbers.iter().rev() {
        let segment = Segment::read(layout, number)?;
        let newest = *newest.get_or_insert((newest_number, segment.id, segment.len));
        let Base { mut position, version, checkpoint } = match segment.base::<M>()? {
            Ok(found) => found,
            Err(found) => {
                damage = Some(found);
                continue;
            }
        };
        let start = HEADER_LEN + checkpoint.size();
        let batches = segment.bytes.len() - start;
        let extent = replay::replay(&mut position, &segment.bytes[start..], |_| {});
        let mut tail = segment.tail(number, version, &checkpoint);
        tail.advance(&extent, batches);
        if damage.is_some() {
            return Ok(Loaded { position, tail: Some(tail), damage, newest });
        }
        let damage = (extent.rest == Rest::Damaged).then(|| tail.damage_at_end());
        return Ok(Loaded { position, tail: Some(tail), damage, newest });
    }
    match (damage, newest) {
        // Segment 1 begins with the machine's default, so that one checkpoint is known without reading it.
        (Some(damage), Some(newest)) if numbers[0] == 1 => {
            Ok(Loaded { position: Position::origin(), tail: None, damage: Some(damage), newest })
        }
        (Some(damage), _) => Err(damage.into()),
        (None, _) => Err(nothing_there(layout)),
    }
}

fn nothing_there(layout: &Layout) -> StateError {
    // A snapshot without a journal means that the journal was lost, not that nothing ever happened.
    if layout.snapshot().exists() {
        return StateError::Corrupt {
            path: layout.segment(1),
            offset: 0,
            detail: "a snapshot exists, but the journal is gone".to_owned(),
        };
    }
    StateError::NotInitialised { dir: layout.dir().to_owned() }
}

/// Why an append did not happen.
pub(crate) enum AppendError {
    /// Nothing was acknowledged; trying again later is fine.
    Failed(StateError),
    /// The disk did not confirm: nothing may be written any more.
    Fatal(StateError),
}

impl Tail {
    /// Moves the end over frames that were just read from it, together with what follows them.
    pub(crate) fn advance(&mut self, extent: &Extent, read: usize) {
        if let Some(at) = extent.last_frame {
            self.last_frame = self.end + at as u64;
        }
        self.end += extent.good as u64;
        self.torn = (read - extent.good) as u64;
    }

    /// Reads what was written behind the end, in a file of this length.
    pub(crate) fn read_on(&mut self, len: u64) -> Result<Vec<u8>> {
        if len == self.read_whole && self.torn == 0 {
            return files::read_up_to_zeros(&self.file, self.end, FRAME_HEADER_LEN, &self.path);
        }
        let bytes = files::read_written(&self.file, self.end, &self.path)?;
        self.read_whole = len;
        Ok(bytes)
    }

    /// Whether nothing was written behind the end.
    pub(crate) fn is_at_end(&self) -> Result<bool> {
        let mut first = [0; FRAME_HEADER_LEN];
        let read = std::os::unix::fs::FileExt::read_at(&self.file, &mut first, self.end);
        Ok(files::is_zeros(&first[..read.map_err(StateError::read(&self.path))?]))
    }

    pub(crate) fn damage_at_end(&self) -> Damage {
        Damage {
            path: self.path.clone(),
            offset: self.end,
            detail: "the record there is unreadable, and others follow it".to_owned(),
        }
    }

    /// Whether the last frame is still the one we read. It is not if its writer failed to make it durable and another
    /// process wrote something else in its place.
    pub(crate) fn is_same(&self, chain: u32) -> Result<bool> {
        let mut header = [0; FRAME_HEADER_LEN];
        match std::os::unix::fs::FileExt::read_exact_at(&self.file, &mut header, self.last_frame) {
            Ok(()) => Ok(format::decode_frame_header(&header).is_some_and(|frame| frame.sum == chain)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(StateError::read(&self.path)(error)),
        }
    }

    fn writer(&mut self) -> Result<&File> {
        let file = match self.writer.take() {
            Some(file) => file,
            None => {
                let file = files::open_write(&self.path)?;
                if FileId::of_file(&file, &self.path)? != self.id {
                    return Err(StateError::refused(&self.path, "it was replaced while it was in use"));
                }
                file
            }
        };
        Ok(self.writer.insert(file))
    }

    /// Writes one frame at the end and makes it durable. Where the file has no room for it, it gets `room` bytes more than
    /// that needs: a write within a file is durable with its bytes alone, one that makes it longer changes the file system.
    pub(crate) fn append(
        &mut self,
        layout: &Layout,
        bytes: &[u8],
        room: u64,
        faults: &mut Faults,
    ) -> Result<(), AppendError> {
        let (path, end, first) = (self.path.clone(), self.end, self.end == self.start);
        let is_at_end = self.is_at_end().map_err(AppendError::Failed)?;
        let file = self.writer().map_err(AppendError::Failed)?;
        let len = file.metadata().map_err(StateError::write(&path)).map_err(AppendError::Failed)?.len();
        if len < end || !is_at_end {
            let why = format!("it does not end at byte {end} as expected; another process wrote without the lock");
            return Err(AppendError::Failed(StateError::refused(&path, why)));
        }
        if first {
            // Whoever made this segment may have died before its name was durable.
            files::sync_dir(layout.dir()).map_err(|error| {
                AppendError::Fatal(StateError::Poisoned { path: layout.dir().to_owned(), reason: error.to_string() })
            })?;
        }
        if let Err(error) = faults.write_all_at(file, bytes, end) {
            take_back(file, end);
            return Err(AppendError::Failed(StateError::write(&path)(error)));
        }
        let after = end + bytes.len() as u64;
        let grown = (after > len).then(|| make_room(file, after, room));
        if let Err(error) = faults.sync_data(file) {
            take_back(file, end);
            return Err(AppendError::Fatal(StateError::Poisoned { path, reason: error.to_string() }));
        }
        self.last_frame = end;
        self.end = after;
        self.synced = after;
        self.read_whole = grown.unwrap_or(len);
        Ok(())
    }

    /// Gives the room at the end back, where there will be no more records.
    pub(crate) fn seal(&mut self) {
        let end = self.end;
        if let Err(error) = self.writer().map(|file| file.set_len(end)) {
            tracing::debug!(%error, "the room behind the last record cannot be given back");
        }
    }

    /// Makes durable what other processes wrote: one of them may have died between its write and its sync.
    pub(crate) fn sync(&mut self, faults: &mut Faults) -> Result<(), AppendError> {
        if self.synced >= self.end {
            return Ok(());
        }
        let path = self.path.clone();
        let file = self.writer().map_err(AppendError::Failed)?;
        faults
            .sync_data(file)
            .map_err(|error| AppendError::Fatal(StateError::Poisoned { path, reason: error.to_string() }))?;
        self.synced = self.end;
        Ok(())
    }

    /// Cuts an unfinished write off.
    pub(crate) fn cut(&mut self) -> Result<(), AppendError> {
        let (path, end) = (self.path.clone(), self.end);
        self.torn = 0;
        let file = self.writer().map_err(AppendError::Failed)?;
        file.set_len(end).map_err(StateError::write(&path)).map_err(AppendError::Failed)?;
        file.sync_all().map_err(|error| AppendError::Fatal(StateError::Poisoned { path, reason: error.to_string() }))
    }
}

/// A failed batch must not reappear as a good one. If this fails as well, the remains are unfinished bytes that the next
/// locked use cuts, or a whole batch that was not acknowledged.
fn take_back(file: &File, end: u64) {
    if let Err(error) = file.set_len(end) {
        tracing::warn!(%error, "cannot take an unacknowledged write back");
    }
}

/// Makes a file so many bytes longer than `end`, and returns how long it is then. No error where that cannot be had, as on
/// a full disk: records need no room before them, they are only sooner durable with it.
fn make_room(file: &File, end: u64, room: u64) -> u64 {
    let zeros = vec![0; usize::try_from(room).unwrap_or_default()];
    match std::os::unix::fs::FileExt::write_all_at(file, &zeros, end) {
        Ok(()) => end + zeros.len() as u64,
        Err(error) => {
            tracing::debug!(%error, "there is no room to be had for records to come");
            end
        }
    }
}

/// Writes the segment `number` with a checkpoint of the machine and room for records, durable in content and name.
pub(crate) fn create_segment<M: Machine>(
    layout: &Layout,
    number: u64,
    position: &Position<M>,
    room: u64,
) -> Result<(Tail, u32)> {
    let path = layout.segment(number);
    let unstorable = |detail: String| StateError::Unstorable { path: path.clone(), detail };
    let mut bytes = format::encode_header(FORMAT).to_vec();
    let frame = format::encode_frame_of(&mut bytes, position.seq, 0, position.chain, &position.machine)
        .map_err(|error| unstorable(error.to_string()))?
        .ok_or_else(|| unstorable("a checkpoint of more than 4 GiB".to_owned()))?;
    // A checkpoint that cannot be read back would hide every record before it.
    M::check(&bytes[bytes.len() - frame.len as usize..]).map_err(|error| unstorable(error.to_string()))?;
    bytes.resize(bytes.len() + usize::try_from(room).unwrap_or_default(), 0);
    let file = files::write_tmp(&layout.segment_tmp(), &bytes)?;
    let len = bytes.len() as u64;
    drop(bytes);
    let id = FileId::of_file(&file, &path)?;
    files::commit_tmp(&path, &layout.segment_tmp())?;
    let mut tail = Segment { path, id, file, bytes: Vec::new(), len }.tail(number, FORMAT, &frame);
    tail.synced = tail.end;
    Ok((tail, frame.sum))
}

/// Removes the oldest segments beyond `keep` bytes. The newest two stay whatever they weigh: the older of them is what a
/// damaged checkpoint falls back to.
pub(crate) fn prune(layout: &Layout, keep: u64) -> Result<()> {
    let mut kept = 0;
    for (age, &number) in layout.segments()?.iter().rev().enumerate() {
        let path = layout.segment(number);
        kept += FileId::at(&path)?.map_or(0, |(_, size)| size);
        if age >= 2 && kept > keep {
            files::remove_quietly(&path);
        }
    }
    Ok(())
}
