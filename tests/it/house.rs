//! The laws of ARCHITECTURE.md and STYLE.md that a machine can read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::stand::{cases, files_of, sources};

/// Who may use whom, as ARCHITECTURE.md draws it.
const ARROWS: [(&str, &[&str]); 12] = [
    (
        "koemasu",
        &[
            "hub", "memory", "pipeline", "plugin", "server", "session", "soak",
        ],
    ),
    (
        "server",
        &["memory", "pipeline", "plugin", "session", "sound", "speech"],
    ),
    ("soak", &["memory", "pipeline", "server", "session"]),
    (
        "pipeline",
        &["memory", "plugin", "session", "sound", "speech"],
    ),
    ("hub", &[]),
    ("memory", &[]),
    ("plugin", &[]),
    ("session", &["memory", "vits"]),
    ("sound", &[]),
    ("speech", &[]),
    ("vits", &[]),
    ("xtask", &[]),
];

/// Packages that are known in one place only.
const HOMES: [(&str, &[&str]); 18] = [
    ("arc-swap", &["pipeline", "session"]),
    ("clap", &["koemasu", "soak"]),
    ("flacenc", &["sound"]),
    ("governor", &["server"]),
    ("hyper", &["server"]),
    ("jpreprocess-core", &["speech"]),
    ("jpreprocess-njd", &["speech"]),
    ("metrics-exporter-prometheus", &["server"]),
    ("notify", &["server"]),
    ("nvml-wrapper", &["session"]),
    ("ort", &["session"]),
    ("rubato", &["sound"]),
    ("tokenizers", &["session"]),
    (
        "tokio",
        &["koemasu", "pipeline", "server", "session", "soak"],
    ),
    ("ureq", &["hub"]),
    ("wasmtime", &["plugin"]),
    ("wit-component", &["plugin"]),
    ("world-rs", &["sound"]),
];

/// Code longer than [`LINES_MAX`], and why it is one subject. Documentation and
/// tests within the file do not count.
const LONG: [(&str, &str); 5] = [
    (
        "server/src/config.rs",
        "every key of koemasu.toml beside its bound",
    ),
    (
        "server/src/dialect/openai.rs",
        "one dialect: its words, its answers, its events",
    ),
    (
        "server/src/dialect/voicevox/words.rs",
        "words as VOICEVOX has them and as ours are",
    ),
    (
        "pipeline/src/prepare.rs",
        "one generation, from its configuration to its parts",
    ),
    (
        "pipeline/src/spec.rs",
        "every key of a pipeline beside its bound",
    ),
];

const LINES_MAX: usize = 500;
/// Of a module and whoever uses it and is used by it, in whatever steps.
const CIRCLE_MAX: usize = 4;

fn host() -> PathBuf {
    cases("../../host")
}

#[test]
fn crates_use_each_other_as_drawn() {
    for (name, drawn) in ARROWS {
        let used = dependencies(name);
        let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
        let used: BTreeSet<&str> = used.iter().map(String::as_str).collect();
        let arrows: BTreeSet<&str> = used.intersection(&ours).copied().collect();
        let drawn: BTreeSet<&str> = drawn.iter().copied().collect();
        assert_eq!(arrows, drawn, "arrows from {name}");
    }
}

#[test]
fn heavy_packages_have_their_homes() {
    for (package, homes) in HOMES {
        let users = ARROWS.iter().map(|(name, _)| *name);
        let users = users.filter(|name| dependencies(name).contains(package));
        let users: Vec<_> = users.collect();
        assert!(!users.is_empty(), "nobody uses {package}: strike it out");
        for user in users {
            assert!(homes.contains(&user), "{package} is not for {user}");
        }
    }
}

/// Names under `[dependencies]`; what only tests use is theirs.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(host().join(name).join("Cargo.toml"));
    let manifest: toml::Table = manifest.expect("a manifest").parse().expect("TOML");
    let table = manifest.get("dependencies").and_then(|it| it.as_table());
    let names = table.map(|it| it.keys().cloned().collect());
    names.unwrap_or_default()
}

#[test]
fn no_circle_of_modules_is_large() {
    for (name, _) in ARROWS {
        let modules = modules(name);
        assert!(modules.len() > 5, "{name}: nothing was looked at");
        let uses = uses(&modules);
        for circle in circles(&uses) {
            assert!(
                circle.len() <= CIRCLE_MAX,
                "{name}: these use each other in a circle: {circle:?}"
            );
        }
    }
}

#[test]
fn a_circle_is_found() {
    let sources = [
        ("a", "use crate::b::B;"),
        ("b", "use crate::{c::{C, D as E}, d};"),
        ("b::inner", "use super::B;"),
        ("c", "fn f() { crate::a::f() }"),
        (
            "d",
            "// use crate::a::A;\n#[cfg(test)]\nmod tests { use crate::a::A; }",
        ),
    ];
    let sources = sources.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let found = circles(&uses(&BTreeMap::from(sources)));
    assert_eq!(found, [BTreeSet::from(["a", "b", "c"].map(str::to_owned))]);
}

#[test]
fn files_have_one_subject() {
    let mut long = Vec::new();
    for (path, text) in ARROWS.iter().flat_map(|(name, _)| sources(name)) {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let told = |line: &&str| line.trim_start().starts_with("//");
        if code.lines().filter(|line| !told(line)).count() > LINES_MAX {
            long.push(path);
        }
    }
    for path in &long {
        let known = LONG.iter().any(|(known, _)| path.ends_with(known));
        assert!(known, "{path} has more than {LINES_MAX} lines: part it");
    }
    for (known, _) in LONG {
        let still = long.iter().any(|path| path.ends_with(known));
        assert!(still, "{known} is short enough: strike it out");
    }
}

#[test]
fn what_is_public_is_documented() {
    let mut missing = Vec::new();
    let libraries = ARROWS.iter().filter(|(name, _)| !PROGRAMS.contains(name));
    for (path, text) in libraries.flat_map(|(name, _)| sources(name)) {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines: Vec<&str> = code.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate() {
            let Some(item) = line.strip_prefix("pub ") else {
                continue;
            };
            let name: String = item
                .chars()
                .take_while(|it| !"({<;=".contains(*it))
                .collect();
            // A module has its own first lines, and a name shown once more its
            // first place.
            let elsewhere = ["mod ", "use "].iter().any(|it| item.starts_with(it));
            if !elsewhere && !is_told(&lines[..number]) && !item.starts_with("struct $") {
                missing.push(format!("{path}:{}: {}", number + 1, name.trim()));
            }
        }
    }
    assert!(missing.is_empty(), "undocumented: {missing:#?}");
}

/// What nobody builds upon.
const PROGRAMS: [&str; 2] = ["koemasu", "xtask"];

/// Whether these lines end in a documentation, with attributes behind it.
fn is_told(before: &[&str]) -> bool {
    let mut depth = 0;
    for line in before.iter().rev() {
        let closes = line.matches(']').count() + line.matches(')').count();
        let opens = line.matches('[').count() + line.matches('(').count();
        let inside = depth > 0 || line.starts_with("#[") || (line.ends_with(']') && closes > opens);
        if !inside {
            return line.starts_with("///") || line.starts_with("$(#[");
        }
        depth = (depth + closes).saturating_sub(opens);
    }
    false
}

#[test]
fn documents_name_files_that_are_there() {
    let tests = files_of(&cases("../../tests")).into_iter();
    let tests = tests.map(|path| path.display().to_string());
    let all: Vec<String> = ARROWS
        .iter()
        .flat_map(|(name, _)| sources(name))
        .map(|(path, _)| path)
        .chain(tests)
        .collect();
    let mut looked = 0;
    for document in ["ARCHITECTURE.md", "STYLE.md", "README.md"] {
        let text = std::fs::read_to_string(cases("../..").join(document)).expect("a document");
        for word in text.split('`').skip(1).step_by(2) {
            let named = [".rs", ".py"].iter().any(|it| word.ends_with(it));
            if !named || word.contains(['*', ' ', '{', '…']) {
                continue;
            }
            looked += 1;
            let there = all.iter().any(|path| path.ends_with(&format!("/{word}")));
            assert!(there, "{document} names `{word}`, which is gone");
        }
    }
    assert!(looked > 40, "nothing was looked at");
}

/// The modules of a crate by their paths, with their code. The root has none:
/// it declares and shows.
fn modules(package: &str) -> BTreeMap<String, String> {
    let src = host().join(package).join("src");
    let mut modules = BTreeMap::new();
    for (path, text) in sources(package) {
        let inside = Path::new(&path).strip_prefix(&src).expect("inside");
        let inside = inside.with_extension("");
        let mut parts: Vec<_> = inside.iter().map(|it| it.to_string_lossy()).collect();
        if parts.last().is_some_and(|it| it == "mod") {
            parts.pop();
        }
        let name = parts.join("::");
        let of_tests = parts.iter().any(|it| it == "tests");
        if !of_tests && name != "lib" && name != "main" {
            modules.insert(name, text);
        }
    }
    modules
}

/// Which module names which other one.
fn uses(modules: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let used = |(name, text): (&String, &String)| {
        let paths = paths(text);
        let of = paths.iter().filter_map(|path| resolve(modules, name, path));
        let of = of.filter(|of| of != name).collect();
        (name.clone(), of)
    };
    modules.iter().map(used).collect()
}

/// The module that a path leads into.
fn resolve(modules: &BTreeMap<String, String>, from: &str, path: &str) -> Option<String> {
    let mut path: Vec<&str> = path.split("::").collect();
    let mut base: Vec<&str> = from.split("::").collect();
    match path.first() {
        Some(&"crate") => base.clear(),
        Some(&"super") => {}
        _ => return None,
    }
    while let Some(&("crate" | "super")) = path.first() {
        if path.remove(0) == "super" {
            base.pop();
        }
    }
    base.extend(path);
    while !base.is_empty() {
        let name = base.join("::");
        if modules.contains_key(&name) {
            return Some(name);
        }
        base.pop();
    }
    None
}

/// What begins with `crate::` or `super::`, lists of `use` written out.
fn paths(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let bound = code[..at].chars().next_back();
            if !bound.is_some_and(|it| it.is_alphanumeric() || it == '_' || it == ':') {
                spell(&code[at..], "", &mut found);
            }
        }
    }
    found
}

/// Writes one path out, with the list at its end if it has one; gives back what
/// comes after.
fn spell<'t>(text: &'t str, before: &str, found: &mut Vec<String>) -> &'t str {
    let of_path = |it: char| it.is_alphanumeric() || it == '_' || it == ':';
    let text = text.trim_start();
    let end = text.find(|it| !of_path(it)).unwrap_or(text.len());
    let path = format!("{before}{}", &text[..end]);
    let mut rest = &text[end..];
    if !path.ends_with("::") || !rest.starts_with('{') {
        found.push(path);
        return rest;
    }
    loop {
        rest = spell(&rest[1..], &path, found);
        // What it is called here.
        let Some(next) = rest.find([',', '}']) else {
            return "";
        };
        rest = &rest[next..];
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
    }
}

/// Those that can be come back to, together with all on the way.
fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reached = |from: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(next) = open.pop() {
            for to in &uses[&next] {
                if seen.insert(to.clone()) {
                    open.push(to.clone());
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&String, _> = uses.keys().map(|it| (it, reached(it))).collect();
    let mut found = BTreeSet::new();
    for (name, there) in &reach {
        let back = there.iter().filter(|it| reach[it].contains(*name));
        let circle: BTreeSet<String> = back.cloned().collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}
