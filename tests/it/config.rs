//! Configuration that is refused: each `cases/config/NAME.toml` (a pipeline, or
//! koemasu.toml if it begins with `# koemasu.toml`) and what is said about it,
//! `NAME.err`. `KOEMASU_BLESS=1` rewrites the latter.

use server::config::Config;

use crate::stand::{Folder, cases};

#[test]
fn refusals_point_at_the_place_and_say_what_would_be_right() {
    let mut seen = 0;
    for entry in std::fs::read_dir(cases("config")).expect("the folder of cases") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let folder = Folder::new();
        let text = std::fs::read_to_string(&path).expect("a readable case");
        let name = if text.starts_with("# koemasu.toml") {
            "koemasu.toml"
        } else {
            "pipelines/ja.toml"
        };
        folder.write(name, &text);
        let told = match Config::load(&folder.files()) {
            Ok(_) => panic!("{} is not refused", path.display()),
            Err(error) => format!("{error}\n"),
        };
        let told = told.replace(&folder.path().display().to_string(), "");
        let golden = path.with_extension("err");
        if std::env::var_os("KOEMASU_BLESS").is_some() {
            std::fs::write(&golden, &told).expect("a writable golden file");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(told, expected, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} cases");
}

#[test]
fn every_pipeline_in_the_repository_loads() {
    let folder = cases("../../pipelines");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the pipelines") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a file");
        pipeline::spec::Pipeline::parse(&text).expect("a good pipeline");
        seen += 1;
    }
    assert!(seen >= 1);
}

/// What is dangerous together is said; each alone, or none of it, is not.
#[test]
fn dangerous_combinations_are_named_with_their_cure() {
    let key = |secret: &str| {
        let hex = server::http::access::Digest256::of(secret.as_bytes()).hex();
        format!("[[keys]]\nname = \"{secret}\"\nsha256 = \"{hex}\"\n")
    };
    let open = "[server]\nlisten = \"0.0.0.0:0\"\n";
    let long = "correct horse battery staple";
    let cases: [(String, &[&str]); 20] = [
        (String::new(), &[]),
        (key("a"), &[]),
        ("[server]\nopen = true\n".into(), &[]),
        (format!("{open}open = true\n"), &["server.open"]),
        (format!("{open}{}", key("a")), &["no TLS"]),
        (
            format!("{open}names = [\"tts.example.org\"]\n{}", key("a")),
            &["admin.token` is missing"],
        ),
        (
            format!(
                "[server]\nnames = [\"tts.example.org\"]\n[admin]\ntoken = \"{long}\"\n{}",
                key("a")
            ),
            &[],
        ),
        ("[admin]\ntoken = \"secret\"\n".into(), &["can be guessed"]),
        (
            format!("[admin]\ntoken = \"{long}\"\n{}", key(long)),
            &["admin token as well"],
        ),
        ("[cors]\norigins = [\"*\"]\n".into(), &["every web page"]),
        (format!("[cors]\norigins = [\"*\"]\n{}", key("a")), &[]),
        (
            format!(
                "{open}requests_max = 8\nrequests_per_address = 8\n{}",
                key("a")
            ),
            &["no TLS", "requests_per_address"],
        ),
        (
            "[server]\nrequests_max = 8\nrequests_per_address = 8\n".into(),
            &[],
        ),
        (
            format!("{open}connections_max = 64\n{}", key("a")),
            &["no TLS", "connections_per_address"],
        ),
        (
            "[server]\nproxies = [\"0.0.0.0/0\", \"10.0.0.0/8\"]\n".into(),
            &["0.0.0.0/0"],
        ),
        ("[server]\nproxies = [\"::/0\"]\n".into(), &["::/0"]),
        (
            "[server]\nheader_timeout = \"600s\"\n".into(),
            &["header_timeout"],
        ),
        ("[server]\ndrain = \"300s\"\n".into(), &["server.drain"]),
        ("[memory]\nmode = \"arena\"\n".into(), &["memory.mode"]),
        (
            "[models]\ndevice = \"cpu\"\n[memory]\nbudget = \"8192GiB\"\n".into(),
            &["the system will end it"],
        ),
    ];
    for (text, expected) in cases {
        let folder = Folder::new();
        folder.write("koemasu.toml", &text);
        protect(&folder.path().join("koemasu.toml"), 0o600);
        let mut files = folder.files();
        files.listen = None;
        let config = Config::load(&files).unwrap_or_else(|e| panic!("{text}: {e}"));
        let found = server::dangers::of(&config);
        assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}

#[test]
fn files_that_everybody_may_change_or_read_are_named() {
    let folder = Folder::new();
    let file = folder.path().join("koemasu.toml");
    folder.write(
        "koemasu.toml",
        "[admin]\ntoken = \"correct horse battery staple\"\n",
    );
    let found = || {
        let config = Config::load(&folder.files()).expect("a good file");
        server::dangers::of(&config)
    };
    protect(&file, 0o640);
    assert_eq!(found(), Vec::<String>::new());
    protect(&file, 0o644);
    assert!(found()[0].contains("may read the admin token"));
    protect(&file, 0o622);
    assert!(found()[0].contains("may change"));
}

fn protect(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, mode).expect("a mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dangerous_can_be_asked_of_a_server_as_well() {
    let folder = Folder::new();
    folder.write("koemasu.toml", "[server]\ndrain = \"300s\"\n");
    let server = folder.serve().await;
    let told = crate::client::get(server.address(), "/admin/generations")
        .await
        .json();
    let dangers = told["dangers"].as_array().expect("a list");
    assert!(
        dangers.iter().any(|danger| danger
            .as_str()
            .is_some_and(|it| it.contains("server.drain"))),
        "{told}"
    );
    assert!(told["without"].is_array(), "{told}");
    server.stop().await;
}
