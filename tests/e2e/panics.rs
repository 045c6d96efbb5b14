//! A panic while the dashboard has the terminal: the person gets the terminal back first, and the message on it. No key and
//! no input is known that makes the program panic, so a program of its own does: this test, run once more in a terminal.

use pipeline::dashboard::{Found, Theme, welcome};

use super::screen::Screen;
use super::support::Sandbox;

/// What makes this test the program in the terminal.
const INSIDE: &str = "PIPELINE_TEST_PANICS";

#[test]
fn the_terminal_is_given_back_before_a_panic_is_told() {
    if std::env::var_os(INSIDE).is_some() {
        return panic_on_screen();
    }
    let mut sandbox = Sandbox::new();
    sandbox.set_env(INSIDE, "1");
    let this = std::env::current_exe().expect("this program").to_string_lossy().into_owned();
    let name = "panics::the_terminal_is_given_back_before_a_panic_is_told";
    let mut screen = Screen::run(&sandbox, &[&this, "--exact", name, "--nocapture", "--test-threads=1"], (80, 24));
    screen.shows(&["Doctor", "leave"]);
    assert!(screen.is_taken());
    std::fs::write(sandbox.repo().join("panic"), "").expect("a file");
    assert_eq!(screen.code(), 101);
    assert!(!screen.is_taken());
    assert!(screen.text().contains("as was asked for"), "{}", screen.text());
}

/// Shows the first screen, and panics once a file is there.
fn panic_on_screen() {
    let found = Found { place: "nowhere".to_owned(), repository: false, doctor: Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let asked = async {
        while !std::path::Path::new("panic").exists() {
            tokio::task::yield_now().await;
        }
        panic!("as was asked for");
    };
    runtime.block_on(async {
        tokio::select! {
            chosen = welcome(&found, Theme::default(), || Ok(())) => panic!("{chosen:?}"),
            () = asked => {}
        }
    });
}
