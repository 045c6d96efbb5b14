//! What is known of the project as a whole: its configuration, its modes, and what roles are told.

use jiff::Timestamp;

use super::super::tasks::Slot;
use super::super::{Demoted, NOTICES_MAX, Notice, Pipeline};
use crate::fact::{EffectKey, Fact};
use crate::mode::Mode;

impl Pipeline {
    pub(super) fn apply_project(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::Configured { settings, workflows, digest } => {
                self.core.config_digest.clone_from(digest);
                self.replace_workflows(workflows.iter().map(|w| (w.id.clone(), w.clone())).collect());
                self.configure_agents(at, settings);
                self.core.settings = settings.clone();
                self.rebuild_index();
            }
            Fact::NumbersTaken { below } => self.core.next_number = self.core.next_number.max(*below),
            Fact::ModeChanged { mode, .. } => {
                self.core.demoted = None;
                self.set_mode(*mode);
            }
            Fact::Demoted { mode, why } => {
                self.core.demoted = Some(Demoted { to: mode.rollout, why: why.clone(), at });
                self.set_mode(*mode);
            }
            Fact::ModePending { mode, unready } => {
                (self.core.pending_mode, self.core.pending_unready) = (*mode, *unready);
            }
            Fact::PilotChanged { scope } => {
                self.core.pilot = scope.clone();
                self.rebuild_index();
            }
            Fact::CurrentTask { task, problem } => {
                self.core.current_task.clone_from(task);
                self.core.current_task_problem.clone_from(problem);
                self.core.effect_failures.remove(&EffectKey::CurrentTask);
            }
            Fact::MachineShort { shortages } => self.core.shortages.clone_from(shortages),
            Fact::Notice { role, task, text } => {
                let notices = &mut self.core.notices;
                notices.push(Notice { role: role.clone(), task: task.clone(), text: text.clone(), given: None });
                if notices.len() > NOTICES_MAX {
                    notices.remove(0);
                }
            }
            _ => {}
        }
    }

    fn set_mode(&mut self, mode: Mode) {
        (self.core.mode, self.core.pending_mode) = (mode, None);
        self.core.given_up.clear();
        self.core.shadow_plan.clear();
        self.clear_holds();
        self.rebuild_index();
    }

    /// Holds are found again where they still apply.
    fn clear_holds(&mut self) {
        let slots: Vec<Slot> = self.tasks.occupied().map(|(slot, _)| slot).collect();
        for slot in slots {
            if let Some(task) = self.tasks.at_mut(slot) {
                task.held = None;
            }
        }
    }
}
