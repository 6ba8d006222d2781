//! Which files of a repository are the voice that is meant, and one at an
//! address.

use hub::{Error, Outcome, Pull, Record, Source, Standing};

use crate::server::{Reply, Server, file};
use crate::stand::{Stand, Stored, large, names, noise, run, settings, small, voice};

/// Files that are empty but for their names, as voices need them.
fn files(paths: &[&'static str]) -> Vec<(&'static str, Stored)> {
    paths.iter().map(|path| (*path, small(*path))).collect()
}

#[test]
fn a_source_means_one_voice_and_one_model() {
    let beside = |folder: &str| -> Vec<&'static str> {
        ["config.json", "style_vectors.npy"]
            .map(|name| &*format!("{folder}{name}").leak())
            .into()
    };
    let with = |folder: &str, more: &[&'static str]| [beside(folder), more.to_vec()].concat();
    // Files, source, chosen file, name of the voice, its model.
    let cases = [
        (
            with("", &["a.safetensors"]),
            "hf:o/r",
            None,
            "r",
            "a.safetensors",
        ),
        (
            with(
                "",
                &[
                    "x_e9_s900.safetensors",
                    "x_e10_s1000.safetensors",
                    "x.safetensors",
                ],
            ),
            "hf:o/r",
            None,
            "r",
            "x_e10_s1000.safetensors",
        ),
        (
            with("", &["x_e9_s900.safetensors", "x_e10_s1000.safetensors"]),
            "hf:o/r",
            Some("x_e9_s900.safetensors"),
            "r",
            "x_e9_s900.safetensors",
        ),
        (
            with("", &["x_e9_s900.safetensors", "x_e10_s1000.safetensors"]),
            "hf:o/r/x_e9_s900.safetensors",
            None,
            "r",
            "x_e9_s900.safetensors",
        ),
        (
            with(
                "",
                &[
                    "G_0.safetensors",
                    "D_0.safetensors",
                    "WD_0.safetensors",
                    "a.safetensors",
                ],
            ),
            "hf:o/r",
            None,
            "r",
            "a.safetensors",
        ),
        (with("", &["a.onnx"]), "hf:o/r", None, "r", "a.onnx"),
        (
            with("", &["a.onnx", "a.safetensors"]),
            "hf:o/r",
            None,
            "r",
            "a.safetensors",
        ),
        (
            with("", &["a.onnx", "a.safetensors"]),
            "hf:o/r",
            Some("a.onnx"),
            "r",
            "a.onnx",
        ),
        (
            with("deep/er/", &["deep/er/a.safetensors"]),
            "hf:o/r",
            None,
            "er",
            "a.safetensors",
        ),
        (
            with("deep/er/", &["deep/er/a.safetensors"]),
            "hf:o/r/deep",
            None,
            "er",
            "a.safetensors",
        ),
        (
            [
                with("a/", &["a/a.safetensors"]),
                with("b/", &["b/b.safetensors"]),
            ]
            .concat(),
            "hf:o/r/b",
            None,
            "b",
            "b.safetensors",
        ),
        (
            [
                with("a/", &["a/a.safetensors"]),
                with("b/", &["b/b.safetensors"]),
            ]
            .concat(),
            "hf:o/r",
            Some("b.safetensors"),
            "b",
            "b.safetensors",
        ),
        // The root is what is named when nothing else is.
        (
            [
                with("", &["a.safetensors"]),
                with("b/", &["b/b.safetensors"]),
            ]
            .concat(),
            "hf:o/r",
            None,
            "r",
            "a.safetensors",
        ),
        (
            with("声 1/", &["声 1/声.safetensors"]),
            "hf:o/r/声 1",
            None,
            "声 1",
            "声.safetensors",
        ),
        // `ab` is not below `a`.
        (
            [
                with("a/x/", &["a/x/a.safetensors"]),
                with("ab/", &["ab/b.safetensors"]),
            ]
            .concat(),
            "hf:o/r/a",
            None,
            "x",
            "a.safetensors",
        ),
    ];
    for (paths, source, chosen, name, model) in cases {
        let stand = Stand::new(files(&paths));
        let mut pull = stand.pull_of(source);
        pull.file = chosen.map(str::to_owned);
        let pulled = stand.fetch(&pull);
        assert_eq!(pulled.name, name, "{paths:?}");
        let mut there = vec![model, "config.json", Record::FILE, "style_vectors.npy"];
        there.sort_unstable();
        assert_eq!(names(&pulled.folder), there, "{paths:?}");
    }
}

#[test]
fn a_package_needs_nothing_beside_it() {
    for (paths, source, chosen, name, package) in [
        (
            &["a.aivmx", "README.md"][..],
            "hf:o/r",
            None,
            "r",
            "a.aivmx",
        ),
        (
            &["a.aivm", "b.aivm"],
            "hf:o/r",
            Some("b.aivm"),
            "r",
            "b.aivm",
        ),
        (&["x/a.aivm", "y/b.aivmx"], "hf:o/r/y", None, "y", "b.aivmx"),
        (
            &["x/a.aivm", "x/b.aivm"],
            "hf:o/r/x/b.aivm",
            None,
            "x",
            "b.aivm",
        ),
    ] {
        let stand = Stand::new(files(paths));
        let mut pull = stand.pull_of(source);
        pull.file = chosen.map(str::to_owned);
        let pulled = stand.fetch(&pull);
        assert_eq!(pulled.name, name);
        let mut there = vec![package, Record::FILE];
        there.sort_unstable();
        assert_eq!(names(&pulled.folder), there);
    }
}

#[test]
fn where_a_choice_is_needed_it_says_between_what() {
    let many: Vec<_> = (0..30)
        .flat_map(|number| voice(&*format!("v{number:02}/").leak()))
        .collect();
    let stand = Stand::new(many);
    let refused = stand
        .pull(&stand.pull_of("hf:o/r"))
        .expect_err("thirty voices");
    let text = refused.to_string();
    assert!(
        matches!(refused, Error::SeveralVoices { left_off: 10, .. }),
        "{text}"
    );
    assert!(text.contains("hf:o/r/v00, hf:o/r/v01"), "{text}");

    let stand = Stand::new(files(&[
        "config.json",
        "style_vectors.npy",
        "a.safetensors",
        "b.safetensors",
    ]));
    let refused = stand
        .pull(&stand.pull_of("hf:o/r"))
        .expect_err("two models");
    let text = refused.to_string();
    assert!(matches!(refused, Error::SeveralModels { .. }), "{text}");
    assert!(
        text.contains("--file: a.safetensors, b.safetensors"),
        "{text}"
    );
}

#[test]
fn where_there_is_no_voice_it_says_what_one_has() {
    let cases: [(&[&'static str], &str, Option<&str>, &str); 7] = [
        (&["README.md"], "hf:o/r", None, "has no voice"),
        (&[], "hf:o/r", None, "has no voice"),
        (
            &["config.json", "a.safetensors"],
            "hf:o/r",
            None,
            "style_vectors.npy",
        ),
        (
            &["config.json", "style_vectors.npy", "G_0.safetensors"],
            "hf:o/r",
            None,
            "bases for training",
        ),
        (&["a/x.aivm"], "hf:o/r/b", None, "no such folder"),
        (&["a/x.aivm"], "hf:o/r", Some("y.aivm"), "`y.aivm`"),
        (
            &["config.json", "style_vectors.npy", ".a.safetensors"],
            "hf:o/r",
            None,
            "has no voice",
        ),
    ];
    for (paths, source, chosen, said) in cases {
        let stand = Stand::new(files(paths));
        let mut pull = stand.pull_of(source);
        pull.file = chosen.map(str::to_owned);
        let refused = stand.pull(&pull).expect_err("no voice").to_string();
        assert!(refused.contains(said), "{paths:?}: {refused}");
        assert_eq!(names(&stand.voices()), [""; 0]);
    }
}

#[test]
fn a_name_of_the_callers_is_a_name_and_no_path() {
    let stand = Stand::with_voice();
    let mut pull = stand.pull_of("hf:o/r");
    for name in ["../x", "", ".pull", "a/b", "/etc/x", "a\nb"] {
        pull.name = Some(name.to_owned());
        let refused = stand.pull(&pull).expect_err("no name");
        assert!(matches!(refused, Error::Name { .. }), "{refused}");
    }
    pull.name = Some("春".to_owned());
    assert_eq!(stand.fetch(&pull).folder, stand.voices().join("春"));
}

/// A server with one package, and the settings to ask it.
fn package(content: &'static [u8]) -> Server {
    Server::new(move |request| file(request, content, &format!("\"{}\"", content.len())))
}

#[test]
fn a_package_at_an_address_is_held_to_its_record() {
    let stand = Stand::new([]);
    let content: &'static [u8] = noise(3, 5_000).leak();
    let mut server = package(content);
    let pull_of = |server: &Server| {
        let text = format!("{}/x/%E5%A3%B0.AIVMX?key=secret", server.address());
        Pull::new(Source::parse(&text).expect("a source"), stand.voices())
    };
    // As if it were the endpoint: an address is none.
    let settings = settings(server.address());
    let mut pull = pull_of(&server);
    let pulled = run(&settings, &pull).expect("a package");
    assert_eq!(
        (pulled.name.as_str(), &pulled.outcome),
        ("声", &Outcome::Fetched)
    );
    assert_eq!(names(&pulled.folder), [Record::FILE, "声.aivmx"]);
    let text = std::fs::read_to_string(pulled.folder.join(Record::FILE)).expect("a record");
    assert!(!text.contains("secret"), "{text}");
    let asked = server.asked();
    assert!(asked.iter().all(|it| it.header("authorization").is_none()));
    assert!(asked[0].path.ends_with("?key=secret"));

    // It need not come again to be known.
    assert_eq!(
        run(&settings, &pull).expect("a package").outcome,
        Outcome::UpToDate
    );
    assert_eq!(server.asked()[0].header("if-none-match"), Some("\"5000\""));
    assert_eq!(names(&stand.voices()), ["声"]);

    // The same place, with another content.
    let port = server.port();
    drop(server);
    let record = text.replace(&port.to_string(), "PORT");
    server = package(noise(4, 5_001).leak());
    let record = record.replace("PORT", &server.port().to_string());
    std::fs::write(pulled.folder.join(Record::FILE), record).expect("written");
    pull = pull_of(&server);
    let refused = run(&settings, &pull).expect_err("another content");
    assert!(matches!(refused, Error::Changed { .. }), "{refused}");
    assert_eq!(names(&stand.voices()), ["声"]);
    pull.standing = Standing::Update;
    let pulled = run(&settings, &pull).expect("a package");
    assert_eq!(
        (pulled.outcome, pulled.record.files[0].bytes),
        (Outcome::Fetched, 5_001)
    );
}

#[test]
fn a_package_without_a_name_of_its_version_is_compared_by_content() {
    let stand = Stand::new([]);
    let server = Server::new(|_| Reply::new(200, "same"));
    let source = Source::parse(&format!("{}/x.aivm", server.address())).expect("a source");
    let mut pull = Pull::new(source, stand.voices());
    for outcome in [Outcome::Fetched, Outcome::UpToDate] {
        let pulled = run(&stand.settings(), &pull).expect("a package");
        assert_eq!(pulled.outcome, outcome);
        assert_eq!(names(&stand.voices()), ["x"]);
    }
    pull.file = Some("x.aivm".to_owned());
    let refused = run(&stand.settings(), &pull).expect_err("no choice");
    assert!(matches!(refused, Error::NoChoice { .. }), "{refused}");
}

#[test]
fn an_address_cannot_name_a_file_elsewhere() {
    let stand = Stand::new([("x", large(b"x".to_vec()))]);
    for path in ["..%2F..%2Fx.aivm", "%00.aivm", ".aivm", "a%5Cb.aivm"] {
        let text = format!("{}/{path}", stand.hub.address());
        let source = Source::parse(&text).expect("a source");
        let refused = stand
            .pull(&Pull::new(source, stand.voices()))
            .expect_err("no name");
        assert!(matches!(refused, Error::Name { .. }), "{refused}");
    }
    assert_eq!(stand.asked(), []);
}
