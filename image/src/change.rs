//! Changes to an image's config, written as in a Dockerfile: `CMD ["/bin/sh"]`, `ENV A=1`.

use std::str::FromStr;

use serde_json::{Map, Value, json};

/// A change to an image's config.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// `CMD`: what is run, or the entry point's arguments.
    Command(Vec<String>),
    /// `ENTRYPOINT`: the program. It takes away an inherited command.
    Entrypoint(Vec<String>),
    /// `ENV`: variables and their values.
    Environment(Vec<(String, String)>),
    /// `LABEL`: labels and their values.
    Labels(Vec<(String, String)>),
    /// `USER`: user and group.
    User(String),
    /// `WORKDIR`: the folder in which it is run; a relative one is below the one it was.
    WorkingFolder(String),
    /// `EXPOSE`: ports, each with its protocol: `80/tcp`.
    Ports(Vec<String>),
    /// `VOLUME`: folders that are volumes.
    Volumes(Vec<String>),
    /// `STOPSIGNAL`: the signal that ends it.
    StopSignal(String),
}

/// A text that is no change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a change: {reason}")]
pub struct InvalidChange {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for Change {
    type Err = InvalidChange;

    /// Reads `INSTRUCTION arguments`, or `INSTRUCTION=arguments`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.trim()).map_err(|reason| InvalidChange { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Change, String> {
    let end =
        text.find(|character: char| character.is_whitespace() || character == '=').unwrap_or(text.len());
    let instruction = text[..end].to_ascii_uppercase();
    let rest = &text[end..];
    let arguments = rest.strip_prefix('=').unwrap_or(rest).trim();
    let known = ["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"];
    if !known.contains(&instruction.as_str()) {
        return Err(format!("only {} can be changed", known.join(", ")));
    }
    let clears = matches!(instruction.as_str(), "CMD" | "ENTRYPOINT" | "USER" | "STOPSIGNAL");
    if arguments.is_empty() && !clears {
        return Err(format!("there is nothing after {instruction}"));
    }
    Ok(match instruction.as_str() {
        "CMD" => Change::Command(command(arguments)),
        "ENTRYPOINT" => Change::Entrypoint(command(arguments)),
        "ENV" => Change::Environment(pairs(arguments)?),
        "LABEL" => Change::Labels(pairs(arguments)?),
        "USER" => Change::User(arguments.to_owned()),
        "WORKDIR" => Change::WorkingFolder(arguments.to_owned()),
        "EXPOSE" => {
            Change::Ports(words(arguments)?.iter().map(|port| check_port(port)).collect::<Result<_, _>>()?)
        }
        "VOLUME" => Change::Volumes(json_words(arguments).map_or_else(|| words(arguments), Ok)?),
        _ => Change::StopSignal(arguments.to_owned()),
    })
}

/// The words of a JSON list; else, as in a Dockerfile, a line for the shell.
fn command(arguments: &str) -> Vec<String> {
    if arguments.is_empty() {
        return Vec::new();
    }
    json_words(arguments).unwrap_or_else(|| ["/bin/sh", "-c", arguments].map(str::to_owned).to_vec())
}

fn json_words(arguments: &str) -> Option<Vec<String>> {
    serde_json::from_str(arguments).ok()
}

/// `A=1 B="two words"`, or the old form with a single pair, `A one or more words`.
fn pairs(arguments: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(arguments)?;
    if !words.first().is_some_and(|first| first.contains('=')) {
        let Some((name, value)) = arguments.split_once(char::is_whitespace) else {
            return Err(format!("'{arguments}' has no value"));
        };
        return Ok(vec![(name.to_owned(), value.trim_start().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("'{word}' is not NAME=VALUE")),
    };
    words.iter().map(pair).collect()
}

/// Splits at white space that is not quoted. A backslash takes the next character as it is, except between single
/// quotes.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == character => quote = None,
            (None | Some('"'), '\\') => {
                let next = characters.next().ok_or("it ends in a backslash")?;
                word.get_or_insert_default().push(next);
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    if quote.is_some() { Err("a quote is not closed".to_owned()) } else { Ok(words) }
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn check_port(text: &str) -> Result<String, String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let number =
        |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let range_fits = matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last);
    if range_fits && matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        Ok(format!("{ports}/{protocol}"))
    } else {
        Err(format!("'{text}' is not a port such as 80, 80/udp or 8000-8010/tcp"))
    }
}

/// Makes the changes in the `config` part of an image's config, in their order.
pub(crate) fn apply(changes: &[Change], execution: &mut Map<String, Value>) {
    let sets_command = changes.iter().any(|change| matches!(change, Change::Command(_)));
    for change in changes {
        match change {
            Change::Command(words) => set_words(execution, "Cmd", words),
            Change::Entrypoint(words) => {
                set_words(execution, "Entrypoint", words);
                if !sets_command {
                    execution.remove("Cmd");
                }
            }
            Change::Environment(pairs) => set_variables(execution, pairs),
            Change::Labels(pairs) => edit_object(execution, "Labels", |labels| {
                labels.extend(pairs.iter().map(|(name, value)| (name.clone(), json!(value))));
            }),
            Change::User(user) => set_text(execution, "User", user),
            Change::WorkingFolder(folder) => {
                let before = execution.get("WorkingDir").and_then(Value::as_str).unwrap_or("/");
                let after = joined(before, folder);
                set_text(execution, "WorkingDir", &after);
            }
            Change::Ports(names) | Change::Volumes(names) => {
                let key = if matches!(change, Change::Ports(_)) { "ExposedPorts" } else { "Volumes" };
                edit_object(execution, key, |set| {
                    set.extend(names.iter().map(|name| (name.clone(), json!({}))));
                });
            }
            Change::StopSignal(signal) => set_text(execution, "StopSignal", signal),
        }
    }
}

fn joined(before: &str, folder: &str) -> String {
    if folder.starts_with('/') {
        folder.to_owned()
    } else {
        format!("{}/{folder}", before.trim_end_matches('/'))
    }
}

fn set_text(execution: &mut Map<String, Value>, key: &str, text: &str) {
    if text.is_empty() {
        execution.remove(key);
    } else {
        execution.insert(key.to_owned(), json!(text));
    }
}

fn set_words(execution: &mut Map<String, Value>, key: &str, words: &[String]) {
    if words.is_empty() {
        execution.remove(key);
    } else {
        execution.insert(key.to_owned(), json!(words));
    }
}

/// A variable that is set already keeps its place.
fn set_variables(execution: &mut Map<String, Value>, pairs: &[(String, String)]) {
    let mut variables: Vec<Value> =
        execution.get("Env").and_then(Value::as_array).cloned().unwrap_or_default();
    for (name, value) in pairs {
        let entry = json!(format!("{name}={value}"));
        let same_name = |other: &Value| {
            other
                .as_str()
                .and_then(|text| text.strip_prefix(name.as_str()))
                .is_some_and(|rest| rest.starts_with('='))
        };
        match variables.iter_mut().find(|other| same_name(other)) {
            Some(known) => *known = entry,
            None => variables.push(entry),
        }
    }
    execution.insert("Env".to_owned(), Value::Array(variables));
}

/// Edits the object at `key`; one that is missing, `null` or of another type is taken for an empty one.
pub(crate) fn edit_object(
    parent: &mut Map<String, Value>,
    key: &str,
    edit: impl FnOnce(&mut Map<String, Value>),
) {
    let mut object = match parent.remove(key) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    edit(&mut object);
    parent.insert(key.to_owned(), Value::Object(object));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn applied(before: &Value, changes: &[&str]) -> Value {
        let changes: Vec<Change> = changes.iter().map(|text| text.parse().unwrap()).collect();
        let mut execution = before.as_object().unwrap().clone();
        apply(&changes, &mut execution);
        Value::Object(execution)
    }

    #[test]
    fn changes_are_made_as_in_a_dockerfile() {
        let table = [
            (json!({}), "CMD [\"a\", \"b c\"]", json!({"Cmd": ["a", "b c"]})),
            (json!({}), "CMD=/bin/sh", json!({"Cmd": ["/bin/sh", "-c", "/bin/sh"]})),
            (json!({"Cmd": ["x"]}), "cmd", json!({})),
            (json!({"Cmd": ["x"]}), "ENTRYPOINT [\"/e\"]", json!({"Entrypoint": ["/e"]})),
            (json!({"Env": ["A=1", "AB=2"]}), "ENV A=3 C=\"x y\"", json!({"Env": ["A=3", "AB=2", "C=x y"]})),
            (json!({"Env": null}), "ENV A one two", json!({"Env": ["A=one two"]})),
            (json!({"Labels": {"a": "1"}}), "LABEL b='c d'", json!({"Labels": {"a": "1", "b": "c d"}})),
            (json!({}), "USER 1000:1000", json!({"User": "1000:1000"})),
            (json!({"User": "x"}), "USER", json!({})),
            (json!({"WorkingDir": "/a/"}), "WORKDIR b", json!({"WorkingDir": "/a/b"})),
            (json!({"WorkingDir": "/a"}), "WORKDIR /c", json!({"WorkingDir": "/c"})),
            (json!({}), "EXPOSE 80 53/UDP", json!({"ExposedPorts": {"80/tcp": {}, "53/udp": {}}})),
            (json!({"Volumes": null}), "VOLUME [\"/a b\"]", json!({"Volumes": {"/a b": {}}})),
            (json!({}), "VOLUME /a /b", json!({"Volumes": {"/a": {}, "/b": {}}})),
            (json!({}), "STOPSIGNAL SIGQUIT", json!({"StopSignal": "SIGQUIT"})),
        ];
        for (before, change, after) in table {
            assert_eq!(applied(&before, &[change]), after, "{change}");
        }
    }

    #[test]
    fn an_entry_point_leaves_a_command_that_is_set_too() {
        let both = applied(&json!({"Cmd": ["old"]}), &["CMD [\"new\"]", "ENTRYPOINT [\"/e\"]"]);
        assert_eq!(both, json!({"Cmd": ["new"], "Entrypoint": ["/e"]}));
    }

    #[test]
    fn what_is_no_change_is_refused() {
        for (text, reason) in [
            ("", "only CMD"),
            ("RUN true", "only CMD"),
            ("ENV", "nothing after ENV"),
            ("ENV A", "has no value"),
            ("ENV A=1 B", "'B' is not NAME=VALUE"),
            ("LABEL =x", "is not NAME=VALUE"),
            ("LABEL a='b", "not closed"),
            ("VOLUME a\\", "ends in a backslash"),
            ("EXPOSE 70000", "is not a port"),
            ("EXPOSE 20-10", "is not a port"),
            ("EXPOSE 80/icmp", "is not a port"),
        ] {
            let error = text.parse::<Change>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
