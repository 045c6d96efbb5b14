//! Agents' terminals in the dashboard: typed into, looked back in, attached to, and hostile.

use super::screen::Screen;
use super::support::Sandbox;

const SIZE: (u16, u16) = (100, 30);

/// A pipeline whose architect works in a terminal, with a task.
fn with_a_session(plan: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let config = sandbox.config("", "");
    let config = config.replacen("preset = \"custom\"\n", "preset = \"custom\"\nmode = \"interactive\"\n", 1);
    sandbox.init("production", &config);
    sandbox.plan("arch", plan);
    sandbox.add("T-1", &[]);
    sandbox
}

/// Asks for a line and keeps it.
const ASK: &str = "printf 'what now? '\n: > \"$box/at/$key.$n\"\nread -r line\necho \"$line\" > told.txt\ncommit told\n\
                   marker COMPLETED\nhang\n";

#[test]
fn an_agent_is_typed_into_and_its_terminal_has_the_size_of_the_pane() {
    let sandbox = with_a_session(ASK);
    let mut screen = Screen::open(&sandbox, &[], SIZE);
    sandbox.wait_at("T-1.arch.1");
    screen.press("1z");
    screen.shows(&["what now?"]);
    screen.press("i");
    screen.shows(&["architect", "ctrl-q"]);
    // Keys of the dashboard are only letters here.
    screen.press("quit? no");
    screen.shows(&["what now? quit? no"]);
    screen.press("<c-q>");
    screen.press("?");
    screen.shows(&["Keys"]);
    // Escape and a letter at once would be alt and the letter.
    screen.press("<esc>");
    screen.wait("the help is closed", |text| !text.contains("Look around"));
    screen.press("i<enter>");
    sandbox.tick_past("T-1", "arch");
    assert_eq!(sandbox.git(&["show", "pipeline/T-1:told.txt"]), "quit? no");
    screen.press("<c-q>");
    screen.press("<c-b>d");
    screen.press("oq");
    assert_eq!(screen.code(), 0);
}

#[test]
fn a_terminal_is_attached_to_full_screen_and_left_alone_again() {
    let sandbox = with_a_session(&format!("stty size > \"$box/size\"\n{ASK}"));
    let monitor = sandbox.start("monitor", ["monitor", "--headless"]);
    sandbox.wait_at("T-1.arch.1");
    let mut screen = Screen::open(&sandbox, &["agent", "attach", "architect"], SIZE);
    screen.shows(&["what now?", "architect"]);
    screen.press("half");
    screen.shows(&["what now? half"]);
    screen.press("<c-b>d");
    assert_eq!(screen.code(), 0);
    assert!(!screen.is_taken());
    // Whoever comes next sees the present screen at once.
    let mut screen = Screen::open(&sandbox, &["agent", "attach", "architect"], (60, 12));
    screen.shows(&["what now? half"]);
    screen.press(" done<enter>");
    screen.end();
    sandbox.run(["wait", "T-1", "--timeout", "60"]).ok();
    assert_eq!(sandbox.git(&["show", "pipeline/T-1:told.txt"]), "half done");
    sandbox.signal(monitor, rustix::process::Signal::TERM);
    sandbox.exit_of(monitor);
}

/// What a program can say to a terminal to do harm to the person behind it.
pub(crate) const HOSTILE: &str = r#"
printf '\033]0;owned\007\033]2;owned\033\\'
printf '\033]52;c;b3duZWQ=\007'
printf '\033]8;;file:///etc/passwd\033\\link\033]8;;\033\\\n'
printf '\033]9;owned\007\033]777;notify;owned;owned\007\033]99;;owned\033\\'
printf '\033[?1000h\033[?2004h\033[?1049h\033[?25l\033[?1004h'
printf '\302\233\063\061m c1 \302\235owned\302\234'
printf '\033P+q544e\033\\\033_owned\033\\\033^owned\033\\\033Xowned\033\\'
printf '\033c\033#8\033[2J\033[3J\033[H'
printf 'safe\342\200\256evil\342\201\246\342\200\213\357\273\277\n'
printf '\377\376 broken \303 bytes \360\237\n'
printf '\033[999999999;999999999H\033[999999999A\033[5n\033[6n\033[c\033[>c\033[18t\033[21t\033]10;?\007'
i=0; while [ $i -lt 3000 ]; do printf '\033]0;%s' xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done
printf '\033[99 q\033[0;7 q\033[5 q'
printf '\007\030\033[H\033[31mstill here\033[m\n\007\007\007'
: > "$box/at/$key.$n"
hang
"#;

/// Nothing that an agent prints reaches the person's terminal but as cells: every byte of the dashboard is one of its own.
#[test]
fn a_hostile_agent_draws_cells_and_nothing_else() {
    let sandbox = with_a_session(HOSTILE);
    let mut screen = Screen::open(&sandbox, &[], SIZE);
    sandbox.wait_at("T-1.arch.1");
    screen.press("p");
    screen.shows(&["still here"]);
    screen.press("z");
    screen.shows(&["still here"]);
    // Typed into, it has the person's cursor: that is a bar, as it asked, and does not blink.
    screen.press("i");
    screen.pump("the cursor is a bar", |screen| screen.raw().windows(5).any(|bytes| bytes == b"\x1b[6 q"));
    screen.press("<c-q>");
    screen.shows(&["still here"]);
    assert_eq!(screen.title(), "pipeline repo");
    assert_eq!((screen.clipboard(), screen.bells()), (Vec::new(), 0));
    screen.press("q");
    assert_eq!(screen.code(), 0);
    check(screen.raw());
    sandbox.release("T-1.arch.1");
}

/// Reads bytes as a terminal does and refuses what the dashboard has no use for.
pub(crate) fn check(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("the dashboard writes UTF-8");
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_control()) {
        assert!(!rest[..at].chars().any(pipeline_lib::text::is_hidden), "{:?}", &rest[..at]);
        rest = &rest[at..];
        let Some(sequence) = rest.strip_prefix('\u{1b}') else {
            assert!(rest.starts_with(['\r', '\n']), "{:?}", &rest[..rest.len().min(20)]);
            rest = &rest[1..];
            continue;
        };
        rest = if let Some(title) = sequence.strip_prefix("]0;") {
            let (title, after) = title.split_once('\u{7}').expect("a title ends");
            assert!(title.contains("pipeline repo"), "{title:?}");
            after
        } else {
            let body =
                sequence.strip_prefix('[').unwrap_or_else(|| panic!("{:?}", &sequence[..sequence.len().min(20)]));
            let end = body.find(|c: char| c.is_ascii_alphabetic()).expect("a sequence ends");
            let (arguments, last) = (&body[..end], &body[end..=end]);
            let plain = arguments.chars().all(|c| c.is_ascii_digit() || c == ';');
            let private = ["?1049", "?1000", "?1002", "?1003", "?1015", "?1006", "?2004", "?2026", "?25"];
            let known = match last {
                "m" | "H" => plain,
                "J" => arguments == "2",
                "t" => ["22;2", "23;2"].contains(&arguments),
                // The cursor's steady shapes, and the person's own again.
                "q" => ["0 ", "2 ", "4 ", "6 "].contains(&arguments),
                "u" => [">1", "<1"].contains(&arguments),
                "h" | "l" => private.contains(&arguments),
                _ => false,
            };
            assert!(known, "ESC [ {arguments} {last}");
            &body[end + 1..]
        };
    }
}

#[test]
fn a_click_chooses_a_pane() {
    let sandbox = with_a_session(ASK);
    let mut screen = Screen::open(&sandbox, &[], SIZE);
    sandbox.wait_at("T-1.arch.1");
    screen.press("p");
    screen.shows(&["▌1", "what now?"]);
    screen.click(90, 5);
    screen.shows(&["▌2"]);
    screen.press("q");
    assert_eq!(screen.code(), 0);
}
