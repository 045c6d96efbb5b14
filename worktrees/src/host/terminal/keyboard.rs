//! How a program wants to be told of keys that the older encodings cannot tell apart: the first step of kitty's protocol, and
//! xterm's for other keys. What goes further, such as releases of keys, is not offered, and who asks is told so.
//!
//! Encodes nothing; that is done in [`pipeline_lib::terminal::keys`].

use alacritty_terminal::vte::ansi::{KeyboardModes, KeyboardModesApplyBehavior, ModifyOtherKeys};
use pipeline_lib::terminal::keys::KeyForm;

/// How many wishes of kitty's protocol a screen keeps for later; the oldest is forgotten.
const WISHES_MAX: usize = 16;
/// What of kitty's protocol is offered.
const OFFERED: KeyboardModes = KeyboardModes::DISAMBIGUATE_ESC_CODES;

/// The wishes so far. Each screen has its own of kitty's protocol.
#[derive(Debug, Clone, Default)]
pub(super) struct Keyboard {
    main: Wishes,
    alternate: Wishes,
    /// The value of xterm's `modifyOtherKeys`.
    other_keys: u8,
}

/// The wishes of kitty's protocol for one screen, the present one last; none is the same as one for nothing.
#[derive(Debug, Clone, Default)]
struct Wishes(Vec<KeyboardModes>);

impl Keyboard {
    fn wishes(&mut self, alternate: bool) -> &mut Wishes {
        if alternate { &mut self.alternate } else { &mut self.main }
    }

    pub(super) fn push(&mut self, alternate: bool, modes: KeyboardModes) {
        let Wishes(wishes) = self.wishes(alternate);
        if wishes.len() == WISHES_MAX {
            wishes.remove(0);
        }
        wishes.push(modes & OFFERED);
    }

    pub(super) fn pop(&mut self, alternate: bool, count: u16) {
        let Wishes(wishes) = self.wishes(alternate);
        wishes.truncate(wishes.len().saturating_sub(usize::from(count)));
    }

    pub(super) fn set(&mut self, alternate: bool, modes: KeyboardModes, how: KeyboardModesApplyBehavior) {
        let Wishes(wishes) = self.wishes(alternate);
        let present = wishes.pop().unwrap_or(KeyboardModes::NO_MODE);
        let next = match how {
            KeyboardModesApplyBehavior::Replace => modes,
            KeyboardModesApplyBehavior::Union => present.union(modes),
            KeyboardModesApplyBehavior::Difference => present.difference(modes),
        };
        wishes.push(next & OFFERED);
    }

    pub(super) fn set_other_keys(&mut self, mode: ModifyOtherKeys) {
        self.other_keys = match mode {
            ModifyOtherKeys::Reset => 0,
            ModifyOtherKeys::EnableExceptWellDefined => 1,
            ModifyOtherKeys::EnableAll => 2,
        };
    }

    /// What is answered to who asks for the wishes of kitty's protocol.
    pub(super) fn answer(&self, alternate: bool) -> String {
        format!("\x1b[?{}u", self.present(alternate).bits())
    }

    /// What is answered to who asks for xterm's.
    pub(super) fn answer_other_keys(&self) -> String {
        format!("\x1b[>4;{}m", self.other_keys)
    }

    fn present(&self, alternate: bool) -> KeyboardModes {
        let Wishes(wishes) = if alternate { &self.alternate } else { &self.main };
        wishes.last().copied().unwrap_or(KeyboardModes::NO_MODE)
    }

    /// The form in which keys are told now.
    pub(super) fn form(&self, alternate: bool) -> KeyForm {
        if !self.present(alternate).is_empty() {
            KeyForm::Kitty
        } else if self.other_keys > 0 {
            KeyForm::OtherKeys
        } else {
            KeyForm::Plain
        }
    }
}
