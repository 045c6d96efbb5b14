//! How the place of a task is called, and what follows from it alone.

use super::*;

impl TaskState {
    /// The stage it is at.
    #[must_use]
    pub fn stage(&self) -> Option<&StageId> {
        match self {
            Self::Ready { stage }
            | Self::Working { stage, .. }
            | Self::Waiting { stage, .. }
            | Self::Paused { stage }
            | Self::Verifying { stage, .. }
            | Self::AwaitingApproval { stage, .. } => Some(stage),
            Self::Blocked { stage } => stage.as_ref(),
            Self::Unassigned | Self::Failed | Self::Completed | Self::Cancelled | Self::RolledBack => None,
        }
    }

    /// Whether nothing more will happen by itself or by `retry`.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Failed | Self::Completed | Self::Cancelled | Self::RolledBack => true,
            Self::Unassigned
            | Self::Ready { .. }
            | Self::Working { .. }
            | Self::Waiting { .. }
            | Self::Paused { .. }
            | Self::Verifying { .. }
            | Self::AwaitingApproval { .. }
            | Self::Blocked { .. } => false,
        }
    }

    /// Whether nothing goes on here until a person has looked.
    #[must_use]
    pub fn is_a_persons(&self) -> bool {
        matches!(
            self,
            Self::AwaitingApproval { .. }
                | Self::Paused { .. }
                | Self::Blocked { .. }
                | Self::Verifying { step: Step::Advance { dirty: Some(_), .. }, .. }
        )
    }

    /// The run that is live for it, if one was claimed.
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::Working { run, .. } => Some(run),
            Self::Verifying { step: Step::Gate { run, .. }, .. } => run.as_ref(),
            Self::Verifying { .. }
            | Self::Unassigned
            | Self::Ready { .. }
            | Self::Waiting { .. }
            | Self::Paused { .. }
            | Self::AwaitingApproval { .. }
            | Self::Blocked { .. }
            | Self::Failed
            | Self::Completed
            | Self::Cancelled
            | Self::RolledBack => None,
        }
    }

    /// The public word for it.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Unassigned => "unassigned".to_owned(),
            Self::Ready { stage } => format!("{stage}_ready"),
            Self::Working { stage, .. } | Self::Waiting { stage, .. } => format!("{stage}_wip"),
            // Nothing is being checked while the user's checkout is in the way: the stage waits.
            Self::Verifying { stage, step: Step::Advance { dirty: Some(_), .. }, .. } => format!("{stage}_ready"),
            Self::Verifying { stage, .. } => format!("{stage}_verifying"),
            Self::AwaitingApproval { .. } | Self::Paused { .. } => "awaiting_approval".to_owned(),
            Self::Blocked { .. } => "blocked".to_owned(),
            Self::Failed => "failed".to_owned(),
            Self::Completed => "completed".to_owned(),
            Self::Cancelled => "cancelled".to_owned(),
            Self::RolledBack => "rolled_back".to_owned(),
        }
    }
}

impl Task {
    /// The branch that carries its work.
    #[must_use]
    pub fn branch(&self) -> String {
        branch_of(self.branch_task())
    }

    /// The task that the branch is named after.
    #[must_use]
    pub fn branch_task(&self) -> &TaskId {
        self.parent.as_ref().and_then(|parent| parent.branch.as_ref()).unwrap_or(&self.id)
    }

    /// Started and not finished: its branch may hold work that base does not have. One that was given up meanwhile is so
    /// again only when an agent takes it.
    #[must_use]
    pub fn in_flight(&self) -> bool {
        self.started_at.is_some() && !self.state.is_final() && !self.resumed
    }
}
