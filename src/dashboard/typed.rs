//! What is on its way to agents' terminals: in order, and never more of it at once than the other side has room for, so that
//! no key of a burst is lost. Knows no agent's terminal.

use std::collections::{BTreeMap, VecDeque};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use pipeline_commands::live::{PaneAnswer, PaneRequest};
use pipeline_lib::ids::{AgentName, RunId};
use tokio::sync::oneshot;

/// How much may be under way to one terminal without an answer.
const UNDER_WAY_MAX: usize = 16;
/// How much may wait for that; more is refused.
const WAITING_MAX: usize = 8192;

/// What came of a request: whose terminal, what was asked, and the answer.
pub(super) type Outcome = (AgentName, PaneRequest, PaneAnswer);
/// Hands a request over; its answer goes into the channel. False if nobody takes it.
pub(super) type Send = Box<dyn FnMut(AgentName, Option<RunId>, PaneRequest, oneshot::Sender<PaneAnswer>) -> bool>;

/// What is on its way.
pub(super) struct Outbox {
    send: Send,
    lanes: BTreeMap<AgentName, Lane>,
    answers: FuturesUnordered<BoxFuture<'static, Outcome>>,
}

/// What is on its way to one terminal.
#[derive(Debug, Default)]
struct Lane {
    /// Each with the run that it is meant for.
    waiting: VecDeque<(Option<RunId>, PaneRequest)>,
    under_way: usize,
}

impl Outbox {
    /// Nothing yet.
    pub(super) fn new(send: Send) -> Self {
        Self { send, lanes: BTreeMap::new(), answers: FuturesUnordered::new() }
    }

    /// Puts a request behind all others for this terminal, meant for this run of the agent and no later one.
    pub(super) fn push(&mut self, agent: AgentName, run: Option<RunId>, ask: PaneRequest) {
        let lane = self.lanes.entry(agent.clone()).or_default();
        if lane.waiting.len() >= WAITING_MAX {
            let refused = PaneAnswer::Refused("it does not keep up with what is typed".to_owned());
            lane.under_way += 1;
            self.answers.push(std::future::ready((agent, ask, refused)).boxed());
            return;
        }
        lane.waiting.push_back((run, ask));
        self.send_next(&agent);
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// The next answer; none while there is nothing to be answered. Nothing is lost if it is not waited for to its end.
    pub(super) async fn next(&mut self) -> Option<Outcome> {
        let outcome = self.answers.next().await?;
        let agent = &outcome.0;
        if let Some(lane) = self.lanes.get_mut(agent) {
            lane.under_way = lane.under_way.saturating_sub(1);
        }
        self.send_next(agent);
        if self.lanes.get(agent).is_some_and(|lane| lane.under_way == 0 && lane.waiting.is_empty()) {
            self.lanes.remove(agent);
        }
        Some(outcome)
    }

    fn send_next(&mut self, agent: &AgentName) {
        let Some(lane) = self.lanes.get_mut(agent) else { return };
        while lane.under_way < UNDER_WAY_MAX
            && let Some((run, ask)) = lane.waiting.pop_front()
        {
            let (answer, answered) = oneshot::channel();
            let gone = || PaneAnswer::Refused("its terminal cannot be reached".to_owned());
            let taken = (self.send)(agent.clone(), run, ask.clone(), answer);
            let agent = agent.clone();
            let outcome = async move {
                let answer = if taken { answered.await.unwrap_or_else(|_| gone()) } else { gone() };
                (agent, ask, answer)
            };
            lane.under_way += 1;
            self.answers.push(outcome.boxed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use pipeline_lib::terminal::{Input, Key, KeyCode};

    use super::*;

    fn key(c: char) -> PaneRequest {
        let key = Key { code: KeyCode::Char(c), shift: false, alt: false, control: false };
        PaneRequest::Input(Input::Key(key))
    }

    #[tokio::test]
    async fn a_burst_arrives_whole_and_in_order_and_never_too_much_at_once() {
        type Sent = VecDeque<(PaneRequest, oneshot::Sender<PaneAnswer>)>;
        let sent: Rc<RefCell<Sent>> = Rc::default();
        let taken = Rc::clone(&sent);
        let mut outbox = Outbox::new(Box::new(move |_, _, ask, answer| {
            taken.borrow_mut().push_back((ask, answer));
            true
        }));
        let agent = AgentName::new("impl").expect("a name");
        let typed: Vec<char> = ('a'..='z').cycle().take(500).collect();
        typed.iter().for_each(|c| outbox.push(agent.clone(), None, key(*c)));
        for c in typed {
            assert!(sent.borrow().len() <= UNDER_WAY_MAX);
            let (ask, answer) = sent.borrow_mut().pop_front().expect("the next one is sent");
            assert_eq!(ask, key(c));
            answer.send(PaneAnswer::Taken).expect("somebody waits for it");
            assert_eq!(outbox.next().await, Some((agent.clone(), key(c), PaneAnswer::Taken)));
        }
        assert!(outbox.is_empty() && outbox.lanes.is_empty());
    }

    #[tokio::test]
    async fn what_nobody_takes_is_answered_all_the_same() {
        let mut outbox = Outbox::new(Box::new(|_, _, _, _| false));
        let agent = AgentName::new("impl").expect("a name");
        outbox.push(agent.clone(), None, key('a'));
        let refused = matches!(outbox.next().await, Some((_, _, PaneAnswer::Refused(_))));
        assert!(refused);
        assert_eq!(outbox.next().await, None);
    }
}
