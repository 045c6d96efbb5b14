//! One side of the conversation with a pane of tmux: looks at it when its run has written something, and hands on what a
//! person does to it. The counterpart of the conversation with a run's host, and of the same use to whoever looks.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pipeline_lib::terminal::document::Document;
use pipeline_lib::terminal::keys::InputModes;
use pipeline_lib::terminal::wire::lines_since;
use pipeline_lib::terminal::{Frame, Input, Size};
use pipeline_worktrees::host::{self, HostError, Observation, Pane, Shown};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::error::chain;
use crate::live::{PaneAnswer, PaneRequest};
use crate::panes::log::Growth;
use crate::viewer::{Asked, Heard, Over, View};

/// The shortest time between two looks: each is a process of its own.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

/// Looks at a pane as wished until that is over. Whoever asks is always answered, if only by being refused.
pub(crate) async fn converse(
    pane: Pane,
    run_dir: &Path,
    view: &mut watch::Receiver<View>,
    asks: &mut mpsc::Receiver<Asked>,
    mut hear: impl FnMut(Heard),
) -> Over {
    // Begun before the first look, so that nothing comes between.
    let mut growth = Growth::of(run_dir);
    let mut look = Look::new(pane, run_dir);
    let mut wished = *view.borrow_and_update();
    if let Err(over) = look.wish(wished).await {
        return over;
    }
    let (mut stale, mut next) = (true, Instant::now());
    loop {
        if stale && Instant::now() >= next {
            match look.frame().await {
                Ok(frame) => frame.map(Heard::Picture).into_iter().for_each(&mut hear),
                Err(over) => return over,
            }
            (stale, next) = (false, Instant::now() + wished.interval.max(INTERVAL_MIN));
        }
        tokio::select! {
            () = growth.wait(), if !stale => stale = true,
            () = sleep_until(next), if stale => {}
            changed = view.changed() => {
                if changed.is_err() {
                    return Over::Unwanted;
                }
                wished = *view.borrow_and_update();
                if let Err(over) = look.wish(wished).await {
                    return over;
                }
                (stale, next) = (true, Instant::now());
            }
            asked = asks.recv() => match asked {
                Some(asked) => {
                    let mut all = VecDeque::from([asked]);
                    while let Ok(asked) = asks.try_recv() {
                        all.push_back(asked);
                    }
                    look.answer(all).await;
                }
                None => return Over::Unwanted,
            },
        }
    }
}

/// A pane with the place in it that is looked at.
struct Look {
    pane: Arc<Pane>,
    run_dir: PathBuf,
    /// The line that the first row was, counted from the first that left the screen; none for the present screen.
    anchor: Option<u64>,
    /// The size that was given to it.
    size: Option<Size>,
    /// Lines that are no longer kept, as far as that was noticed.
    forgotten: u64,
    history: usize,
    rows: u16,
    modes: InputModes,
    shown: Option<Arc<Frame>>,
}

impl Look {
    fn new(pane: Pane, run_dir: &Path) -> Self {
        Self {
            pane: Arc::new(pane),
            run_dir: run_dir.to_owned(),
            anchor: None,
            size: None,
            forgotten: 0,
            history: 0,
            rows: Size::UNSEEN.rows,
            modes: InputModes::default(),
            shown: None,
        }
    }

    /// Asks tmux on a thread that may wait for it.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Pane) -> Result<T, HostError> + Send + 'static,
    ) -> Result<T, String> {
        let pane = Arc::clone(&self.pane);
        match tokio::task::spawn_blocking(move || ask(&pane)).await {
            Ok(answer) => answer.map_err(|error| chain(&error)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What it means that tmux does not show the pane: that the run is over, if so it is.
    fn over(&self, why: String) -> Over {
        match host::observe(&self.run_dir) {
            Observation::Ended(_) => Over::Ended,
            _ => Over::Lost(why),
        }
    }

    fn scrolled(&self) -> u64 {
        self.forgotten + self.history as u64
    }

    /// Looks as wished from here on.
    async fn wish(&mut self, view: View) -> Result<(), Over> {
        if let Some(size) = view.resize.filter(|size| self.size != Some(*size)) {
            match self.ask(move |pane| pane.resize(size)).await {
                Ok(_) => self.size = Some(size),
                // A picture in another size is better than none; a pane that is gone shows when it is captured.
                Err(error) => tracing::debug!(?error, "a pane of tmux keeps its size"),
            }
        }
        self.anchor = None;
        if view.offset > 0 {
            // How much is above the screen by now has to be known first.
            self.capture().await?;
            let offset = view.offset.saturating_add(lines_since(view.at, self.scrolled()));
            self.anchor = Some(self.scrolled().saturating_sub(offset.min(self.history) as u64));
        }
        // Whoever wishes for something hears of it, even if it looks the same.
        self.shown = None;
        Ok(())
    }

    async fn capture(&mut self) -> Result<Shown, Over> {
        let (anchor, forgotten) = (self.anchor, self.forgotten);
        let offset = move |history: usize| {
            let above = anchor.map_or(0, |line| (forgotten + history as u64).saturating_sub(line));
            usize::try_from(above).unwrap_or(usize::MAX)
        };
        let shown = self.ask(move |pane| pane.capture(|state| offset(state.history))).await;
        let shown = shown.map_err(|why| self.over(why))?;
        // tmux forgets many lines at once when there are too many.
        self.forgotten += self.history.saturating_sub(shown.state.history) as u64;
        self.history = shown.state.history;
        self.rows = shown.state.size.rows;
        self.modes = shown.state.input;
        Ok(shown)
    }

    /// The present picture, if it is another one.
    async fn frame(&mut self) -> Result<Option<Arc<Frame>>, Over> {
        if matches!(host::observe(&self.run_dir), Observation::Ended(_)) {
            return Err(Over::Ended);
        }
        let frame = self.capture().await?.frame(self.scrolled());
        let news = self.shown.as_deref() != Some(&frame);
        if news {
            self.shown = Some(Arc::new(frame));
        }
        Ok(self.shown.clone().filter(|_| news))
    }

    /// Does what was asked, in order. What is typed at once reaches the program at once.
    async fn answer(&mut self, mut asked: VecDeque<Asked>) {
        while let Some(Asked { ask, answer }) = asked.pop_front() {
            match ask {
                PaneRequest::Input(input) => {
                    let (mut inputs, mut answers) = (vec![input], vec![answer]);
                    while let Some(Asked { ask: PaneRequest::Input(_), .. }) = asked.front()
                        && let Some(Asked { ask: PaneRequest::Input(input), answer }) = asked.pop_front()
                    {
                        inputs.push(input);
                        answers.push(answer);
                    }
                    self.input(inputs, answers).await;
                }
                // Whoever asked may have gone; then nobody needs telling.
                PaneRequest::Search { needle, offset, at, forward } => {
                    let since = lines_since(at, self.scrolled());
                    let find =
                        |lines: &Document, rows| lines.search(rows, &needle, offset.saturating_add(since), forward);
                    let found = self.document().await.map(|(lines, rows)| find(&lines, rows));
                    drop(answer.send(match found {
                        Ok(found) => PaneAnswer::Found(found.map(|offset| offset.saturating_sub(since))),
                        Err(why) => PaneAnswer::Refused(why),
                    }));
                }
                PaneRequest::Text { from, to, at } => {
                    let since = lines_since(at, self.scrolled());
                    let (from, to) = (from.saturating_add(since), to.saturating_add(since));
                    drop(answer.send(match self.document().await {
                        Ok((lines, rows)) => PaneAnswer::Text(lines.text(rows, from, to)),
                        Err(why) => PaneAnswer::Refused(why),
                    }));
                }
            }
        }
    }

    async fn input(&self, inputs: Vec<Input>, answers: Vec<oneshot::Sender<PaneAnswer>>) {
        let modes = self.modes;
        let taken = match self.ask(move |pane| pane.input(&inputs, &modes)).await {
            Ok(()) => PaneAnswer::Taken,
            Err(why) => PaneAnswer::Refused(why),
        };
        for answer in answers {
            drop(answer.send(taken.clone()));
        }
    }

    /// All that is kept of what was shown.
    async fn document(&self) -> Result<(Document, u16), String> {
        let mut document = Document::new(pipeline_lib::terminal::COLUMNS_MAX);
        self.ask(Pane::lines).await?.into_iter().for_each(|line| document.push(line));
        Ok((document, self.rows))
    }
}

#[cfg(test)]
#[path = "multiplexer_tests.rs"]
mod tests;
