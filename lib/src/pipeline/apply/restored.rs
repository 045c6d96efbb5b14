//! What putting a task back changes: it is again what it was before a command, or not there at all.

use jiff::Timestamp;

use super::super::Pipeline;
use crate::fact::EffectKey;
use crate::ids::TaskId;
use crate::settings::worktree_parts;
use crate::task::{Task, TaskState};

impl Pipeline {
    pub(super) fn restore_task(&mut self, at: Timestamp, id: &TaskId, to: Option<&Task>) {
        let before = self.task(id.as_str()).map(|task| task.state.clone());
        self.core.withheld.remove(id);
        self.core.effect_failures.remove(&EffectKey::Task(id.clone()));
        match to {
            None => self.forget_task(id),
            Some(task) if before.is_none() => self.add_task(task),
            Some(task) => {
                let rewired = self.task(id.as_str()).is_some_and(|known| known.depends_on != task.depends_on);
                self.change_task(id, |known| *known = task.clone());
                if rewired {
                    self.rebuild_index();
                }
                if let Some(slot) = self.tasks.slot(id.as_str()) {
                    self.release_held(slot);
                }
            }
        }
        let free = TaskState::Unassigned;
        let to = to.map_or(&free, |task| &task.state);
        self.reserve_agent(at, id, before.as_ref().unwrap_or(&free), to);
    }

    fn forget_task(&mut self, id: &TaskId) {
        let Some(slot) = self.tasks.slot(id.as_str()) else { return };
        self.index_removed(slot);
        self.free_name(id);
        self.tasks.remove(id.as_str());
        self.core.shadow_plan.retain(|_, (task, _)| task != id);
        self.core.worktrees.retain(|name, _| worktree_parts(name).1.as_ref() != Some(id));
        if self.core.current_task.as_ref() == Some(id) {
            self.core.current_task = None;
        }
    }
}
