//! Alerts that people should see in the list of what waits for them: grave ones, and those that did not reach anybody.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fact::Fact;
use crate::ids::TaskId;
use crate::pipeline::Pipeline;

/// So many are kept; the oldest go first.
const ALERTS_MAX: usize = 20;

/// An alert that people should see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertNotice {
    /// The name of its rule.
    pub name: String,
    /// In a sentence.
    pub text: String,
    /// About which task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The channel that it could not be delivered through, where that is what is to be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// An alert that people should see, until it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingAlert {
    /// Since when.
    pub at: Timestamp,
    /// What.
    pub notice: AlertNotice,
}

impl Pipeline {
    pub(super) fn apply_alert(&mut self, at: Timestamp, fact: &Fact) {
        let alerts = &mut self.core.alerts;
        match fact {
            Fact::AlertNoted { notice } => {
                let same = |known: &AlertNotice| match (&known.channel, &notice.channel) {
                    (None, None) => known.name == notice.name && known.task == notice.task,
                    (known, new) => known == new,
                };
                alerts.retain(|known| !same(&known.notice));
                alerts.push(StandingAlert { at, notice: (**notice).clone() });
                if alerts.len() > ALERTS_MAX {
                    alerts.remove(0);
                }
            }
            Fact::ChannelWorks { channel } => {
                alerts.retain(|known| known.notice.channel.as_ref() != Some(channel));
            }
            _ => {}
        }
    }
}
