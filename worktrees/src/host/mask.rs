//! Takes secrets out of what a command prints, before any of it is written down. Only the very bytes of a secret are
//! found: what a command makes of one, such as its Base64, is not.

/// What stands where a secret was.
const MASK: &[u8] = b"***";
/// A line of a secret that is shorter than this is too common a text to be looked for.
const LINE_BYTES_MIN: usize = 4;

/// What is looked for, and the end of what came so far, as far as it may be the beginning of a secret.
#[derive(Debug, Clone, Default)]
pub(super) struct Mask {
    secrets: Vec<Vec<u8>>,
    held: Vec<u8>,
}

impl Mask {
    /// Looks for these, and for each line of them: a program may print one at a time.
    pub(super) fn of<'s>(secrets: impl Iterator<Item = &'s [u8]>) -> Self {
        let mut all: Vec<Vec<u8>> = Vec::new();
        for secret in secrets {
            let lines = secret.split(|byte| *byte == b'\n' || *byte == b'\r').map(<[u8]>::trim_ascii);
            all.extend(lines.chain([secret]).filter(|line| line.len() >= LINE_BYTES_MIN).map(<[u8]>::to_vec));
        }
        // The longest first: one secret may begin with another.
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Self { secrets: all, held: Vec::new() }
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// What can be written now that these bytes have come.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while let Some(rest) = self.held.get(at..).filter(|rest| !rest.is_empty()) {
            // A longer secret that may still come is waited for, even where a shorter one is there already.
            let may_come = |secret: &&Vec<u8>| secret.len() > rest.len() && secret.starts_with(rest);
            if self.secrets.iter().any(|secret| may_come(&secret)) {
                break;
            }
            match self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                Some(secret) => {
                    out.extend_from_slice(MASK);
                    at += secret.len();
                }
                None => {
                    out.extend(rest.first());
                    at += 1;
                }
            }
        }
        self.held.drain(..at);
        out
    }

    /// What was held back: nothing more comes.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = std::mem::take(&mut self.held);
        while !rest.is_empty() {
            let found = self.secrets.iter().find(|secret| rest.starts_with(secret)).map(Vec::len);
            match found {
                Some(len) => {
                    out.extend_from_slice(MASK);
                    rest.drain(..len);
                }
                None => out.extend(rest.drain(..1)),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(secrets: &[&str], pieces: &[&str]) -> String {
        let mut mask = Mask::of(secrets.iter().map(|secret| secret.as_bytes()));
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| mask.push(piece.as_bytes())).collect();
        out.extend(mask.rest());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_is_found_however_it_is_cut() {
        let text = "a hunter22 b hunter2 hunter22";
        for cut in 0..text.len() {
            let (one, two) = text.split_at(cut);
            assert_eq!(masked(&["hunter2", "hunter22"], &[one, two]), "a *** b *** ***", "{cut}");
        }
        let bytes: Vec<String> = text.chars().map(String::from).collect();
        let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
        assert_eq!(masked(&["hunter22", "hunter2"], &bytes), "a *** b *** ***");
    }

    #[test]
    fn what_only_begins_like_a_secret_stays() {
        assert_eq!(masked(&["hunter2"], &["hunt", "er", " hunter"]), "hunter hunter");
        assert_eq!(masked(&["aab!"], &["aaab!", "aa"]), "a***aa");
        assert_eq!(masked(&[], &["all of it"]), "all of it");
    }

    #[test]
    fn the_lines_of_a_secret_are_secrets() {
        assert_eq!(masked(&["-----BEGIN\nMIIabc\nxy\n"], &["k: MIIabc, xy"]), "k: ***, xy");
    }
}
