//! A conversation with a real pane of tmux, which is started here without a host, unless tmux is missing.

use std::collections::BTreeMap;
use std::process::Command;

use pipeline_lib::ids::RunId;
use pipeline_lib::terminal::{Key, KeyCode};
use pipeline_worktrees::host::{Claim, Multiplexer, RunKind};

use super::*;

/// A server with one session, which shows thirty numbered lines and then what is typed.
struct Server {
    base: tempfile::TempDir,
    multiplexer: Multiplexer,
}

impl Server {
    fn start() -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            assert!(std::env::var_os("PIPELINE_TESTS_NEED_TMUX").is_none(), "tmux is required here and is missing");
            return None;
        }
        let base = tempfile::tempdir().unwrap();
        let env = BTreeMap::from([
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("TMUX_TMPDIR".to_owned(), base.path().to_string_lossy().into_owned()),
        ]);
        let multiplexer = Multiplexer::of_repository(base.path(), &env);
        let server = Self { base, multiplexer };
        let run = RunId::new("R-1").unwrap();
        let mut claim = Claim::new(run, RunKind::Agent, vec!["true".to_owned()], BTreeMap::new(), "/".into());
        claim.multiplexer = Some(server.multiplexer.clone());
        host::prepare(&server.run_dir(), &claim).unwrap();
        let script = "i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); done; exec cat";
        server.tmux(&["new-session", "-d", "-s", "R-1", "-x", "40", "-y", "6", "--", "sh", "-c", script]);
        let log = server.run_dir().join("stdout.log");
        server.tmux(&["pipe-pane", "-t", "=R-1:", &format!("cat >> {}", log.display())]);
        let told = server.tmux(&["display-message", "-p", "-t", "=R-1:", "#{socket_path} #{pane_id}"]);
        let (socket, pane) = told.trim().split_once(' ').unwrap();
        let record = serde_json::json!({ "socket": socket, "session": "R-1", "pane": pane });
        std::fs::write(server.run_dir().join("pane.json"), record.to_string()).unwrap();
        Some(server)
    }

    fn run_dir(&self) -> PathBuf {
        self.base.path().join("R-1")
    }

    fn tmux(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.env_clear().envs(&self.multiplexer.env).args(["-f", "/dev/null", "-L", &self.multiplexer.server]);
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// Somebody who looks.
struct Person {
    view: watch::Sender<View>,
    asks: mpsc::Sender<Asked>,
    frames: watch::Receiver<Option<Arc<Frame>>>,
}

impl Person {
    async fn sees(&self, wanted: impl Fn(&Frame) -> bool) -> Arc<Frame> {
        let mut frames = self.frames.clone();
        let seen = frames.wait_for(|frame| frame.as_ref().is_some_and(|frame| wanted(frame)));
        match tokio::time::timeout(Duration::from_secs(30), seen).await {
            Ok(seen) => Arc::clone(seen.unwrap().as_ref().unwrap()),
            Err(_) => panic!("not seen: {:?}", self.frames.borrow().as_deref().map(rows)),
        }
    }

    async fn asks(&self, ask: PaneRequest) -> PaneAnswer {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Asked { ask, answer }).await.unwrap();
        answered.await.unwrap()
    }

    async fn types(&self, text: &str) {
        for c in text.chars() {
            let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
            let key = Key { code, shift: false, alt: false, control: false };
            assert_eq!(self.asks(PaneRequest::Input(Input::Key(key))).await, PaneAnswer::Taken);
        }
    }

    fn looks(&self, offset: usize, at: Option<u64>, resize: Option<Size>) {
        self.view.send_replace(View { resize, offset, at, interval: Duration::from_millis(1) });
    }
}

fn rows(frame: &Frame) -> Vec<String> {
    frame.lines.iter().map(|line| line.text()).collect()
}

fn has(text: &str) -> impl Fn(&Frame) -> bool {
    move |frame| frame.lines.iter().any(|line| line.text() == text)
}

/// Talks to a server's pane; the answer is how that ended.
async fn talk<F: Future<Output = ()>>(server: &Server, person: impl FnOnce(Person) -> F) -> Over {
    let (view, mut views) =
        watch::channel(View { resize: None, offset: 0, at: None, interval: Duration::from_millis(1) });
    let (asks, mut asked) = mpsc::channel(16);
    let (seen, frames) = watch::channel(None);
    let pane = host::pane(&server.run_dir()).unwrap().unwrap();
    let dir = server.run_dir();
    let hear = |heard| {
        if let Heard::Picture(frame) = heard {
            seen.send_replace(Some(frame));
        }
    };
    let mut talk = std::pin::pin!(converse(pane, &dir, &mut views, &mut asked, hear));
    tokio::select! {
        over = &mut talk => return over,
        () = person(Person { view, asks, frames }) => {}
    }
    talk.await
}

#[tokio::test]
async fn what_is_looked_at_stays_in_sight_while_more_is_printed() {
    let Some(server) = Server::start() else { return };
    let over = talk(&server, async |person: Person| {
        let present = person.sees(has("line 29")).await;
        assert_eq!((present.history, present.offset, present.scrolled), (25, 0, 25));
        assert_eq!(present.cursor.map(|cursor| cursor.row), Some(5));
        person.looks(10, Some(present.scrolled), None);
        let above = person.sees(|frame| frame.offset == 10).await;
        assert_eq!((rows(&above)[0].as_str(), above.cursor), ("line 15", None));
        person.types("more\nand more\n").await;
        let above = person.sees(|frame| frame.history == 29).await;
        assert_eq!((rows(&above)[0].as_str(), above.offset), ("line 15", 14));
        // The same place again, as somebody says it who has seen the picture before that.
        person.looks(10, Some(25), None);
        let above = person.sees(|frame| frame.offset == 14).await;
        assert_eq!(rows(&above)[0], "line 15");
        person.looks(0, None, None);
        person.sees(has("and more")).await;
    })
    .await;
    assert_eq!(over, Over::Unwanted);
}

#[tokio::test]
async fn it_is_searched_copied_and_given_a_size() {
    let Some(server) = Server::start() else { return };
    talk(&server, async |person: Person| {
        let present = person.sees(has("line 29")).await;
        let at = Some(present.scrolled);
        let find = |needle: &str, forward| PaneRequest::Search { needle: needle.to_owned(), offset: 0, at, forward };
        assert_eq!(person.asks(find("LINE 7", false)).await, PaneAnswer::Found(Some(18)));
        assert_eq!(person.asks(find("nothing", false)).await, PaneAnswer::Found(None));
        person.looks(18, at, None);
        assert_eq!(rows(&*person.sees(|frame| frame.offset == 18).await)[0], "line 7");
        let text = person.asks(PaneRequest::Text { from: 3, to: 1, at }).await;
        assert_eq!(text, PaneAnswer::Text(["line 27", "line 28", "line 29"].map(str::to_owned).to_vec()));
        let size = Size { columns: 50, rows: 8 };
        person.looks(0, None, Some(size));
        assert_eq!(person.sees(|frame| frame.size == size).await.lines.len(), 8);
        let paste = Input::Paste { text: "a; b\nc".to_owned(), submit: true };
        assert_eq!(person.asks(PaneRequest::Input(paste)).await, PaneAnswer::Taken);
        let seen = person.sees(has("c")).await;
        assert!(rows(&seen).iter().any(|row| row.contains("a; b")), "{:?}", rows(&seen));
    })
    .await;
}

#[tokio::test]
async fn the_end_of_its_session_is_said() {
    let Some(server) = Server::start() else { return };
    server.tmux(&["new-session", "-d", "-s", "R-10"]);
    let over = talk(&server, async |person: Person| {
        person.sees(has("line 29")).await;
        server.tmux(&["kill-session", "-t", "=R-1"]);
        let refused = person.asks(PaneRequest::Input(Input::Paste { text: "x".to_owned(), submit: false })).await;
        assert!(matches!(&refused, PaneAnswer::Refused(why) if why.contains("tmux")), "{refused:?}");
        person.looks(0, None, None);
        std::future::pending::<()>().await;
    })
    .await;
    assert!(matches!(&over, Over::Lost(why) if why.contains("R-1")), "{over:?}");
}
