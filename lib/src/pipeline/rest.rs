//! Presets whose agents take no work for a while: because of a limit, a lost login, or a service that cannot be reached.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A preset that rests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// Until when.
    pub until: Timestamp,
    /// In words.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

/// A preset that cannot reach its service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// How often in a row.
    pub in_a_row: u32,
    /// Since when.
    pub since: Timestamp,
    /// In words.
    pub why: String,
}

/// So often in a row a preset cannot reach its service until people are told: most networks are back before.
pub const OUTAGE_TOLD_AT: u32 = 3;
