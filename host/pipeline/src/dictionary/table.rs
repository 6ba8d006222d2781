//! Words as CSV: a head line names the columns, `#` begins a comment.

use csv::{ReaderBuilder, StringRecord, Trim, WriterBuilder};
use serde::de::value::{Error as Unknown, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};

use super::{DictionaryError, WrittenWord, count, usual_priority};
use crate::document::{Document, Place, Wrong};

const COLUMNS: [&str; 7] = [
    "surface",
    "reading",
    "accent",
    "part_of_speech",
    "priority",
    "case",
    "id",
];

/// `surface` and `reading` must be there.
pub(super) fn read(document: &Document) -> Result<Vec<WrittenWord>, DictionaryError> {
    let wrong_at = |line: u64, what: String| Wrong {
        place: Place::line(document, usize::try_from(line).unwrap_or(usize::MAX)),
        what,
    };
    let text = document.text().trim_start_matches('\u{feff}');
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .comment(Some(b'#'))
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let mut records = reader.records().filter(|record| match record {
        // A line of nothing but blanks.
        Ok(record) => record.len() > 1 || record.iter().any(|field| !field.is_empty()),
        Err(_) => true,
    });
    // A record begins where the one before has ended, with all that is passed
    // over in between.
    let line = |record: &StringRecord| {
        let Some(position) = record.position() else {
            return 1;
        };
        let rest = text.get(position.byte() as usize..).unwrap_or_default();
        let passed = rest
            .lines()
            .take_while(|it| it.is_empty() || it.starts_with('#'));
        position.line() + passed.count() as u64
    };
    let broken = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        wrong_at(line, error.to_string())
    };
    let Some(head) = records.next() else {
        return Ok(Vec::new());
    };
    let head = head.map_err(broken)?;
    let known = format!("known are {}", COLUMNS.join(", "));
    if let Some(name) = head.iter().find(|name| !COLUMNS.contains(name)) {
        let what = format!("`{name}` is no column; {known}");
        return Err(wrong_at(line(&head), what).into());
    }
    let column = |name: &str| head.iter().position(|column| column == name);
    if column("surface").is_none() || column("reading").is_none() {
        let what = format!("no column is `surface` or none is `reading`; {known}");
        return Err(wrong_at(line(&head), what).into());
    }
    let mut words = Vec::new();
    for record in records {
        count(words.len())?;
        let record = record.map_err(broken)?;
        let wrong = |what: String| wrong_at(line(&record), what);
        if record.len() > head.len() {
            let (had, heads) = (record.len(), head.len());
            let what = format!("it has {had} fields, the head line {heads}");
            return Err(wrong(what).into());
        }
        let field = |name: &str| column(name).and_then(|at| record.get(at));
        let optional = |name: &str| field(name).filter(|field| !field.is_empty());
        let number = |name: &str| {
            let parsed = optional(name).map(|field| {
                field
                    .parse::<usize>()
                    .map_err(|_| wrong(format!("`{name}` is `{field}`, not a number")))
            });
            parsed.transpose()
        };
        let priority = number("priority")?.map_or(usual_priority(), |priority| {
            u8::try_from(priority).unwrap_or(u8::MAX)
        });
        words.push(WrittenWord {
            id: optional("id").map(str::to_owned),
            surface: field("surface").unwrap_or_default().to_owned(),
            reading: field("reading").unwrap_or_default().to_owned(),
            accent: number("accent")?,
            part_of_speech: one_of(optional("part_of_speech")).map_err(|e| wrong(e.to_string()))?,
            priority,
            case: one_of(optional("case")).map_err(|e| wrong(e.to_string()))?,
        });
    }
    Ok(words)
}

fn one_of<T: Default + DeserializeOwned>(field: Option<&str>) -> Result<T, Unknown> {
    let Some(field) = field else {
        return Ok(T::default());
    };
    let field: StrDeserializer<'_, Unknown> = field.into_deserializer();
    T::deserialize(field)
}

pub(super) fn write(words: &[WrittenWord]) -> Result<String, DictionaryError> {
    let whole = |cause: &dyn std::fmt::Display| DictionaryError::Whole(cause.to_string());
    let name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut writer = WriterBuilder::new()
        .comment(Some(b'#'))
        .from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(|e| whole(&e))?;
    for word in words {
        let accent = word.accent.map(|accent| accent.to_string());
        let record = [
            word.surface.clone(),
            word.reading.clone(),
            accent.unwrap_or_default(),
            name(serde_json::json!(word.part_of_speech)),
            word.priority.to_string(),
            name(serde_json::json!(word.case)),
            word.id.clone().unwrap_or_default(),
        ];
        writer.write_record(&record).map_err(|e| whole(&e))?;
    }
    let bytes = writer.into_inner().map_err(|e| whole(&e))?;
    String::from_utf8(bytes).map_err(|e| whole(&e))
}
