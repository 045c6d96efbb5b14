//! Work that is done off the thread which keeps the picture: one at a time, and of all that waits the newest only. Whoever
//! asked is woken when there is an answer, and fetches it then.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::Wake;

/// A thread that answers; it ends when this is dropped and its present work is done.
#[derive(Debug)]
pub(super) struct Job<Ask, Answer> {
    asks: Sender<Ask>,
    answers: Receiver<Answer>,
}

impl<Ask: Send + 'static, Answer: Send + 'static> Job<Ask, Answer> {
    /// Starts the thread. `work` may answer as often as it likes, also not at all.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        name: &str,
        wake: &Wake,
        mut work: impl FnMut(Ask, &mut dyn FnMut(Answer)) + Send + 'static,
    ) -> io::Result<Self> {
        let (asks, asked) = channel::<Ask>();
        let (answer, answers) = channel();
        let wake = wake.clone();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Ok(mut ask) = asked.recv() {
                while let Ok(newer) = asked.try_recv() {
                    ask = newer;
                }
                work(ask, &mut |said| {
                    // Whoever asked may have gone; then nobody needs telling.
                    if answer.send(said).is_ok() {
                        let _ = wake.send(());
                    }
                });
            }
        })?;
        Ok(Self { asks, answers })
    }

    /// Asks, in place of everything that was asked and not begun. False if nobody works any more.
    pub(super) fn ask(&self, ask: Ask) -> bool {
        self.asks.send(ask).is_ok()
    }

    /// The next answer, if there is one.
    pub(super) fn answered(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[test]
    fn of_all_that_waits_only_the_newest_is_done() {
        let (wake, _woken) = tokio::sync::mpsc::unbounded_channel();
        let (begun, begins) = channel();
        let (go, gone) = channel::<()>();
        let job = Job::start("test", &wake, move |ask: u32, answer: &mut dyn FnMut(u32)| {
            begun.send(ask).unwrap();
            gone.recv().unwrap();
            answer(ask);
        })
        .unwrap();
        assert!(job.ask(1));
        assert_eq!(begins.recv_timeout(DEADLINE), Ok(1));
        for ask in 2..=5 {
            assert!(job.ask(ask));
        }
        go.send(()).unwrap();
        assert_eq!(job.answers.recv_timeout(DEADLINE), Ok(1));
        assert_eq!(begins.recv_timeout(DEADLINE), Ok(5), "the others were overtaken");
        go.send(()).unwrap();
        assert_eq!(job.answers.recv_timeout(DEADLINE), Ok(5));
        assert_eq!(job.answered(), None);
    }

    #[test]
    fn whoever_asked_is_woken_behind_each_answer() {
        let (wake, mut woken) = tokio::sync::mpsc::unbounded_channel();
        let job = Job::start("test", &wake, |ask: u32, answer: &mut dyn FnMut(u32)| {
            answer(ask);
            answer(ask + 1);
        })
        .unwrap();
        assert!(job.ask(1));
        for expected in [1, 2] {
            woken.blocking_recv().unwrap();
            assert_eq!(job.answered(), Some(expected));
        }
    }
}
