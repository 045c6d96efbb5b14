//! Templates rendered, and commands quoted for the places where their values stand.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const EVIL: &str = "a'b\"c`id`$(id)\\ ; #&";

fn vars() -> Json {
    json!({
        "params": { "name": "x y", "evil": EVIL, "count": 3, "fast": true, "none": null, "files": ["a b", "c"], "map": {"k": 1} },
        "task": { "id": "TASK-1" },
    })
}

fn in_shell(template: &str) -> String {
    shell(template, &vars()).unwrap()
}

fn refused(template: &str) -> String {
    shell(template, &vars()).unwrap_err().to_string()
}

#[test]
fn a_text_without_placeholders_is_left_alone() {
    for text in ["make test", "echo ${#HOME} {a,b} # no", ""] {
        assert_eq!((in_shell(text), super::text(text, &vars()).unwrap()), (text.to_owned(), text.to_owned()));
    }
}

#[test]
fn values_are_quoted_for_the_place_where_they_stand() {
    for (template, expected) in [
        ("echo {{ task.id }}", "echo TASK-1"),
        ("echo {{ params.name }}", "echo 'x y'"),
        ("echo \"in {{ params.name }}\"", "echo \"in x y\""),
        ("echo 'in {{ params.evil }}'", r#"echo 'in a'\''b"c`id`$(id)\ ; #&'"#),
        ("echo \"{{ params.evil }}\"", r#"echo "a'b\"c\`id\`\$(id)\\ ; #&""#),
        ("echo {{ params.evil }}", r#"echo 'a'\''b"c`id`$(id)\ ; #&'"#),
        ("echo \"$(printf %s {{ params.name }})\"", "echo \"$(printf %s 'x y')\""),
        ("echo $(( {{ params.count }} + 1 ))", "echo $(( 3 + 1 ))"),
        ("true # {{ params.name }}\necho {{ params.name }}", "true # 'x y'\necho 'x y'"),
        ("echo a#b'{{ params.name }}'", "echo a#b'x y'"),
        ("echo \\ #'{{ params.name }}'", "echo \\ #'x y'"),
        ("x=$HOME{{ task.id }}", "x=$HOME'TASK-1'"),
        ("x=\"$HOME{{ task.id }}\"", "x=\"$HOME\"\"TASK-1\""),
        ("echo {{ params.count }}>f", "echo '3'>f"),
        ("ls {{ params.files }}", "ls 'a b' c"),
        ("echo {{ params.map }} {{ params.fast }} {{ params.none }}", "echo '{\"k\":1}' true ''"),
        ("{{ params.name | raw }} now\n", "x y now\n"),
        ("{% for f in params.files %}rm {{ f }}\n{% endfor %}", "rm 'a b'\nrm c\n"),
        ("{% if params.fast %}-f{% endif %}{## a remark ##} ${#x}", "-f ${#x}"),
        ("a)\ncase {{ params.name }} in b) echo {{ params.name }};; esac", "a)\ncase 'x y' in b) echo 'x y';; esac"),
    ] {
        assert_eq!(in_shell(template), expected, "{template}");
    }
    assert_eq!(shell("{{ word }} x", &json!({ "word": "if" })).unwrap(), "'if' x");
}

#[test]
fn a_text_for_a_command_keeps_its_values_to_itself() {
    let template = "cat <<EOF >f\nname={{ params.name }} {{ params.evil }}\nEOF\necho {{ params.name }}";
    let expected = "cat <<EOF >f\nname=x y a'b\"c\\`id\\`\\$(id)\\\\ ; #&\nEOF\necho 'x y'";
    assert_eq!(in_shell(template), expected);
    let literal = "cat <<-'END'\n\t${x} {{ params.evil }}\n\tEND\necho {{ params.name }}";
    assert_eq!(in_shell(literal), format!("cat <<-'END'\n\t${{x}} {EVIL}\n\tEND\necho 'x y'"));
    assert!(shell("cat <<END\n{{ x }}\nEND", &json!({ "x": "END" })).is_err());
    assert!(shell("cat <<END\n{{ x }}\nEND", &json!({ "x": "a\nEND\nrm -r /" })).is_err());
    assert!(refused("cat <<END\n$(echo {{ params.name }})\nEND").contains("`<<`"));
}

#[test]
fn a_value_is_refused_where_no_quoting_helps() {
    for template in [
        "echo \\{{ params.name }}",
        "echo ${{ params.name }}",
        "echo \"${{ params.name }}\"",
        "echo ${x:-{{ params.name }}}",
        "echo `ls {{ params.name }}`",
        "echo $(( {{ params.name }} ))",
        "echo $'a' {{ params.name }}",
        "x=$(case a in a) echo {{ params.name }};; esac)",
        "{% set x %}{{ params.name }}{% endset %}{{ x }}",
    ] {
        assert!(shell(template, &vars()).is_err(), "{template} gave {}", in_shell(template));
    }
    assert_eq!(
        refused("echo `ls {{ params.name }}`"),
        "a value cannot be quoted inside backquotes; write $(…) instead of backquotes"
    );
    assert!(shell("{{ x | raw }}", &json!({ "x": "a\0b" })).is_err());
}

#[test]
fn mistakes_name_the_placeholder() {
    for (template, expected) in [
        ("a {{ params.nmae }}", "`{{ params.nmae }}` has no value; did you mean `params.name`?"),
        ("{{ param.name }}", "`{{ param.name }}` has no value; did you mean `params.name`?"),
        ("{{ something }}", "`{{ something }}` has no value"),
        (
            "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
            "it renders to more than can be run",
        ),
    ] {
        let error = text(template, &vars()).unwrap_err().to_string();
        let expected = expected.replace("{{ param.name }}", "{{ param }}").replace(
            "`params.name`?",
            match template {
                "{{ param.name }}" => "`params`?",
                _ => "`params.name`?",
            },
        );
        assert_eq!(error, expected, "{template}");
    }
    for (template, part) in [("a\n{{ x", "line 2"), ("{{ x | nothing }}", "nothing"), ("{{ x | e }}", "filter e")] {
        let error = text(template, &json!({ "x": 1 })).unwrap_err().to_string();
        assert!(error.contains(part), "{template}: {error}");
    }
}

#[test]
fn the_names_a_template_needs_are_found() {
    let found =
        names("{{ params.a }}{% for x in params.list %}{{ x.y }}{{ loop.index }}{% endfor %}{{ task.id }}").unwrap();
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), ["params.a", "params.list", "task.id"]);
    assert_eq!(names("plain").unwrap(), BTreeSet::new());
    assert!(names("{% if %}").is_err());
}

#[test]
fn placeholders_of_one_brace_are_filled_in_where_they_are_known() {
    let vars = vars();
    for (prompt, expected) in [
        ("Build {name} for {task.id}.", "Build x y for TASK-1."),
        ("{params.count} {unknown} { \"a\": 1 } {} {{name}} }{", "3 {unknown} { \"a\": 1 } {} {{name}} }{"),
        ("{name", "{name"),
        ("{{{name}}}", "{{{name}}}"),
    ] {
        assert_eq!(placeholders(prompt, &vars), expected);
    }
}

proptest! {
    /// No template makes it panic, and no placeholder changes what a shell takes for quotes.
    #[test]
    fn nothing_panics(template in "[ a-z{}%#$'\"`\\\\()<\n]{0,40}", value in "[ -~\n]{0,6}") {
        let vars = json!({ "a": value });
        let marked = template.replace('a', "{{ a }}");
        for text in [template, marked] {
            drop((shell(&text, &vars), super::text(&text, &vars), names(&text)));
        }
    }
}
