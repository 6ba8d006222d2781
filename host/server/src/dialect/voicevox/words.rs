//! The user dictionary of VOICEVOX's clients, onto the pipeline's own.
//!
//! The pipeline's file is the truth. A word is known by the uuid it came with,
//! or by one made of its surface. Two things cannot be kept as they come: a
//! verb or an adjective is a noun here, for neither changes its form; and a
//! compound of several parts becomes one word, which falls once at most.

use std::collections::{BTreeMap, HashMap};

use hyper::StatusCode;
use pipeline::WrittenWord;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use speech::user::{Case, PartOfSpeech};
use uuid::{Builder, Uuid};

use super::body::{self, Loc};
use super::may_change;
use crate::admin::dictionary;
use crate::http::answer::{self, Answer};
use crate::http::described::{Asking, ChangingWords, Flag, Free, Pinning, Taking};
use crate::http::fault::Fault;
use crate::http::query::{Query, wrong};
use crate::http::route::Call;

/// Bytes of a dictionary that is imported: as many words as there may be, at
/// some 400 bytes each.
pub(super) const IMPORT_MAX: usize = 64 << 20;

/// The words of the pipeline's dictionary, by uuid.
#[utoipa::path(get, path = "/user_dict",
    params(
        ("enable_compound_accent" = inline(Option<Flag>), Query, description = "Whether each has lists of its parts"),
    ),
    responses(
        (status = 200, description = "Words by uuid", body = Free),
        Pinning,
        Asking,
        (status = 404, description = "There is no such pipeline"),
    ),
)]
pub(crate) async fn list(call: Call) -> Result<Answer, Fault> {
    let query = Query::new(call.query());
    let lists = query.flag("enable_compound_accent")?.unwrap_or(false);
    let file = match dictionary::file(&call.app, &pipeline(&call)?) {
        Ok(file) => file,
        // Clients ask when they start, whether they have words or not.
        Err(fault) if fault.status == StatusCode::CONFLICT => {
            return Ok(answer::json(&Map::new()));
        }
        Err(fault) => return Err(fault),
    };
    let listed = move || {
        let words = dictionary::open(&file)?;
        let words: Map<String, Value> = words
            .iter()
            .map(|word| (id(word), shown(word, lists)))
            .collect();
        Ok(answer::json(&words))
    };
    crate::files::beside(listed).await
}

/// One more word.
///
/// One for each surface: a second one takes the first one's place.
#[utoipa::path(post, path = "/user_dict_word",
    params(
        ("surface" = Vec<String>, Query, description = "As it is written; several are the parts of a compound"),
        ("pronunciation" = Vec<String>, Query, description = "In katakana, one for each surface"),
        ("accent_type" = Vec<u64>, Query, description = "The mora after which each falls, 0 is flat"),
        ("word_type" = inline(Option<WordType>), Query),
        ("priority" = Option<u8>, Query, minimum = 0, maximum = 10, description = "5 without it"),
    ),
    responses(
        (status = 200, description = "Its uuid", body = String, content_type = "application/json"),
        Pinning,
        ChangingWords,
    ),
)]
pub(crate) async fn add(call: Call) -> Result<Answer, Fault> {
    may_change(&call)?;
    let word = asked(&Query::new(call.query()))?;
    let add = move |words: &mut Vec<WrittenWord>| Ok(put(words, word));
    let (_, added) = dictionary::edit_words(&call.app, &pipeline(&call)?, add).await?;
    Ok(answer::json(&added))
}

/// Another word in the place of one.
#[utoipa::path(put, path = "/user_dict_word/{word}",
    params(
        ("word" = String, Path, description = "Uuid of the word"),
        ("surface" = Vec<String>, Query, description = "As it is written; several are the parts of a compound"),
        ("pronunciation" = Vec<String>, Query, description = "In katakana, one for each surface"),
        ("accent_type" = Vec<u64>, Query, description = "The mora after which each falls, 0 is flat"),
        ("word_type" = inline(Option<WordType>), Query),
        ("priority" = Option<u8>, Query, minimum = 0, maximum = 10, description = "5 without it"),
    ),
    responses(
        (status = 204, description = "It is done"),
        Pinning,
        ChangingWords,
    ),
)]
pub(crate) async fn change(call: Call) -> Result<Answer, Fault> {
    may_change(&call)?;
    let new = asked(&Query::new(call.query()))?;
    let uuid = call.segment(0).to_owned();
    let change = move |words: &mut Vec<WrittenWord>| {
        let known = find(words, &uuid)?;
        *known = WrittenWord {
            id: Some(id(known)).filter(|id| *id != uuid_of(&new.surface)),
            ..new
        };
        Ok(())
    };
    dictionary::edit_words(&call.app, &pipeline(&call)?, change).await?;
    Ok(answer::no_content())
}

/// A word less.
#[utoipa::path(delete, path = "/user_dict_word/{word}",
    params(("word" = String, Path, description = "Uuid of the word")),
    responses(
        (status = 204, description = "It is done"),
        Pinning,
        ChangingWords,
    ),
)]
pub(crate) async fn remove(call: Call) -> Result<Answer, Fault> {
    may_change(&call)?;
    let uuid = call.segment(0).to_owned();
    let remove = move |words: &mut Vec<WrittenWord>| {
        find(words, &uuid)?;
        words.retain(|word| !id(word).eq_ignore_ascii_case(&uuid));
        Ok(())
    };
    dictionary::edit_words(&call.app, &pipeline(&call)?, remove).await?;
    Ok(answer::no_content())
}

/// Many words, or none of them.
#[utoipa::path(post, path = "/import_user_dict",
    params(
        ("override" = inline(Flag), Query, description = "Whether they take the place of words of the same surface"),
    ),
    request_body = BTreeMap<String, Imported>,
    responses(
        (status = 204, description = "It is done"),
        Taking,
        Pinning,
        ChangingWords,
    ),
)]
pub(crate) async fn import(mut call: Call) -> Result<Answer, Fault> {
    may_change(&call)?;
    let body = call.body();
    let query = Query::new(call.query());
    query.needed("override")?;
    let replace = query.flag("override")?.unwrap_or(false);
    let import = dictionary::Import::begin()?;
    let new = import.read(move || read_imported(&body)).await?;
    let merge = move |words: &mut Vec<WrittenWord>| {
        let _held = import;
        merge(words, new, replace);
        Ok(())
    };
    dictionary::edit_words(&call.app, &pipeline(&call)?, merge).await?;
    Ok(answer::no_content())
}

pub(super) fn read_imported(body: &[u8]) -> Result<Vec<WrittenWord>, Fault> {
    let imported: BTreeMap<String, Imported> = body::parse(body)?;
    if imported.len() > pipeline::WORDS_MAX {
        return Err(Loc::body().wrong(format!(
            "it has {} words, the most is {}",
            imported.len(),
            pipeline::WORDS_MAX
        )));
    }
    let mut new = Vec::with_capacity(imported.len());
    for (uuid, word) in imported {
        let loc = Loc::body().at(uuid.as_str());
        if !is_uuid(&uuid) {
            return Err(loc.wrong("this key is no uuid"));
        }
        let word = word.read().map_err(|cause| loc.wrong(cause))?;
        new.push(WrittenWord {
            id: Some(uuid.to_ascii_lowercase()).filter(|id| *id != uuid_of(&word.surface)),
            ..word
        });
    }
    Ok(new)
}

/// A word of the same uuid or the same surface is the same word; the first
/// such counts.
fn merge(words: &mut Vec<WrittenWord>, new: Vec<WrittenWord>, replace: bool) {
    let mut ids = HashMap::with_capacity(words.len() + new.len());
    let mut surfaces = HashMap::with_capacity(words.len() + new.len());
    for (place, word) in words.iter().enumerate() {
        ids.entry(id(word)).or_insert(place);
        surfaces.entry(word.surface.clone()).or_insert(place);
    }
    for word in new {
        let own = id(&word);
        let known = [ids.get(&own), surfaces.get(&word.surface)];
        let place = match known.into_iter().flatten().min().copied() {
            Some(_) if !replace => continue,
            Some(place) => {
                let old = &words[place];
                ids.remove(&id(old));
                surfaces.remove(&old.surface);
                place
            }
            None => words.len(),
        };
        ids.entry(own).or_insert(place);
        surfaces.entry(word.surface.clone()).or_insert(place);
        match words.get_mut(place) {
            Some(known) => *known = word,
            None => words.push(word),
        }
    }
}

/// The pipeline whose words these are.
fn pipeline(call: &Call) -> Result<String, Fault> {
    if let Some(name) = &call.app.dialects.voicevox.pipeline {
        return Ok(name.clone());
    }
    let generation = call.app.pin()?;
    let first = generation.pipelines().first().map(|it| (*it).to_owned());
    Ok(first.unwrap_or_default())
}

fn find<'w>(words: &'w mut [WrittenWord], uuid: &str) -> Result<&'w mut WrittenWord, Fault> {
    let mut words = words.iter_mut();
    let known = words.find(|word| id(word).eq_ignore_ascii_case(uuid));
    known.ok_or_else(|| {
        let detail = format!("there is no word `{uuid}`; GET /user_dict lists them");
        Fault::field(StatusCode::UNPROCESSABLE_ENTITY, "word_uuid", detail)
    })
}

/// In the place of the word of the same surface, or as a new one; gives its
/// uuid.
fn put(words: &mut Vec<WrittenWord>, word: WrittenWord) -> String {
    if let Some(known) = words.iter_mut().find(|it| it.surface == word.surface) {
        *known = WrittenWord {
            id: known.id.take(),
            ..word
        };
        return id(known);
    }
    let mut made = uuid_of(&word.surface);
    // A word that was renamed may still have it.
    let mut more = 0;
    while words.iter().any(|it| id(it) == made) {
        more += 1;
        made = uuid_of(&format!("{}\n{more}", word.surface));
    }
    words.push(WrittenWord {
        id: Some(made.clone()).filter(|_| more > 0),
        ..word
    });
    made
}

fn id(word: &WrittenWord) -> String {
    let own = word.id.as_deref().map(str::to_ascii_lowercase);
    own.unwrap_or_else(|| uuid_of(&word.surface))
}

/// A uuid of version 8: the SHA-256 of a surface.
fn uuid_of(surface: &str) -> String {
    let digest = Sha256::digest(format!("koemasu word\n{surface}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

fn is_uuid(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}

/// The word that parameters say.
fn asked(query: &Query<'_>) -> Result<WrittenWord, Fault> {
    let surfaces: Vec<_> = query.all("surface").collect();
    let readings: Vec<_> = query.all("pronunciation").collect();
    query.needed("surface")?;
    query.needed("pronunciation")?;
    query.needed("accent_type")?;
    let number = |text: &str| {
        let number = text.trim().parse::<usize>();
        number.map_err(|_| {
            wrong(
                "accent_type",
                format!("`{text}` is no whole number from 0 on"),
            )
        })
    };
    let accents = query.all("accent_type").map(number);
    let accents = accents.collect::<Result<Vec<_>, _>>()?;
    if surfaces.len() != readings.len() || surfaces.len() != accents.len() {
        return Err(wrong(
            "surface",
            "`surface`, `pronunciation` and `accent_type` are given as often as each other",
        ));
    }
    let kind = match query.text("word_type") {
        None => PartOfSpeech::ProperNoun,
        Some(name) => kind_of(name).ok_or_else(|| {
            let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
            let detail = format!("`{name}` is none of {}", names.join(", "));
            wrong("word_type", detail)
        })?,
    };
    let (reading, accent) =
        compound(&readings, &accents).map_err(|cause| wrong("accent_type", cause))?;
    Ok(WrittenWord {
        id: None,
        surface: narrow(&surfaces.concat()),
        reading,
        accent: Some(accent),
        part_of_speech: kind,
        priority: query.number("priority")?.unwrap_or(5),
        case: Case::Any,
    })
}

/// The reading and the accent of a compound's parts as one word.
fn compound(readings: &[&str], accents: &[usize]) -> Result<(String, usize), String> {
    let mut accent = 0;
    let mut before = 0;
    for (reading, own) in readings.iter().zip(accents) {
        match (*own, accent) {
            (0, _) => {}
            (own, 0) => accent = before + own,
            _ => {
                return Err(
                    "more than one part of the compound falls; a word falls once here, so add the parts as words of their own"
                        .to_owned(),
                );
            }
        }
        before += moras(reading);
    }
    Ok((readings.concat(), accent))
}

fn moras(reading: &str) -> usize {
    const SMALL: &str = "ァィゥェォャュョヮ";
    reading.chars().filter(|c| !SMALL.contains(*c)).count()
}

/// A kind of word in VOICEVOX's names and in MeCab's.
struct Kind {
    name: &'static str,
    own: PartOfSpeech,
    context: u32,
    /// Part of speech, and three details.
    mecab: [&'static str; 4],
}

const fn kind(
    name: &'static str,
    own: PartOfSpeech,
    context: u32,
    mecab: [&'static str; 4],
) -> Kind {
    Kind {
        name,
        own,
        context,
        mecab,
    }
}

/// The first of several that are one here is how it is told again.
const KINDS: [Kind; 10] = {
    use PartOfSpeech as Own;
    [
        kind(
            "PROPER_NOUN",
            Own::ProperNoun,
            1348,
            ["名詞", "固有名詞", "一般", "*"],
        ),
        kind(
            "LOCATION_NAME",
            Own::Place,
            1353,
            ["名詞", "固有名詞", "地域", "一般"],
        ),
        kind(
            "ORGANIZATION_NAME",
            Own::Organization,
            1352,
            ["名詞", "固有名詞", "組織", "*"],
        ),
        kind(
            "PERSON_NAME",
            Own::Name,
            1349,
            ["名詞", "固有名詞", "人名", "一般"],
        ),
        kind(
            "PERSON_FAMILY_NAME",
            Own::Surname,
            1350,
            ["名詞", "固有名詞", "人名", "姓"],
        ),
        kind(
            "PERSON_GIVEN_NAME",
            Own::GivenName,
            1351,
            ["名詞", "固有名詞", "人名", "名"],
        ),
        kind("COMMON_NOUN", Own::Noun, 1345, ["名詞", "一般", "*", "*"]),
        kind("SUFFIX", Own::Suffix, 1358, ["名詞", "接尾", "一般", "*"]),
        kind("VERB", Own::Noun, 642, ["動詞", "自立", "*", "*"]),
        kind("ADJECTIVE", Own::Noun, 20, ["形容詞", "自立", "*", "*"]),
    ]
};

/// Names of [`KINDS`].
struct WordType;

impl utoipa::PartialSchema for WordType {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let names = KINDS.iter().map(|kind| kind.name);
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .enum_values(Some(names))
            .into()
    }
}

impl utoipa::ToSchema for WordType {}

fn kind_of(name: &str) -> Option<PartOfSpeech> {
    let mut kinds = KINDS.iter();
    kinds.find(|kind| kind.name == name).map(|kind| kind.own)
}

/// One value or a list of them: the two shapes that a dictionary may have.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
enum Values<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> Values<T> {
    fn all(&self) -> &[T] {
        match self {
            Self::Many(all) => all,
            Self::One(one) => std::slice::from_ref(one),
        }
    }
}

/// A word as a dictionary of VOICEVOX or AivisSpeech has it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct Imported {
    surface: Values<String>,
    priority: u8,
    part_of_speech: String,
    part_of_speech_detail_1: String,
    part_of_speech_detail_2: String,
    part_of_speech_detail_3: String,
    pronunciation: Values<String>,
    accent_type: Values<usize>,
}

impl Imported {
    fn read(self) -> Result<WrittenWord, String> {
        let readings: Vec<_> = self
            .pronunciation
            .all()
            .iter()
            .map(String::as_str)
            .collect();
        let accents = self.accent_type.all();
        if readings.len() != accents.len() {
            return Err(format!(
                "it has {} readings and {} accents",
                readings.len(),
                accents.len()
            ));
        }
        let (reading, accent) = compound(&readings, accents)?;
        let mecab = [
            self.part_of_speech.as_str(),
            &self.part_of_speech_detail_1,
            &self.part_of_speech_detail_2,
            &self.part_of_speech_detail_3,
        ];
        // Of a kind that has no name here as much is kept as its first words say.
        let kind = KINDS
            .iter()
            .find(|kind| kind.mecab == mecab)
            .or_else(|| KINDS.iter().find(|kind| kind.mecab[..2] == mecab[..2]));
        Ok(WrittenWord {
            id: None,
            surface: narrow(&self.surface.all().concat()),
            reading,
            accent: Some(accent),
            part_of_speech: kind.map_or(PartOfSpeech::Noun, |kind| kind.own),
            priority: self.priority,
            case: Case::Any,
        })
    }
}

fn shown(word: &WrittenWord, lists: bool) -> Value {
    let mut kinds = KINDS.iter();
    let kind = kinds.find(|kind| kind.own == word.part_of_speech);
    let kind = kind.unwrap_or(&KINDS[0]);
    let [speech, first, second, third] = kind.mecab;
    let mut shown = json!({
        "surface": wide(&word.surface),
        "priority": word.priority,
        "context_id": kind.context,
        "part_of_speech": speech,
        "part_of_speech_detail_1": first,
        "part_of_speech_detail_2": second,
        "part_of_speech_detail_3": third,
        "inflectional_type": "*",
        "inflectional_form": "*",
        "accent_associative_rule": "*",
    });
    let values = [
        ("stem", json!("*")),
        ("yomi", json!(word.reading)),
        ("pronunciation", json!(word.reading)),
        // A word that leaves it open is guessed when it is read.
        ("accent_type", json!(word.accent.unwrap_or(0))),
        ("mora_count", json!(moras(&word.reading))),
    ];
    for (name, value) in values {
        shown[name] = match lists {
            true => json!([value]),
            false => value,
        };
    }
    if lists {
        shown["word_type"] = json!(kind.name);
    }
    shown
}

/// VOICEVOX keeps surfaces in wide letters; people write narrow ones.
fn wide(text: &str) -> String {
    let wide = |c: char| match c {
        ' ' => '\u{3000}',
        '!'..='~' => char::from_u32(c as u32 + WIDTH).unwrap_or(c),
        other => other,
    };
    text.chars().map(wide).collect()
}

fn narrow(text: &str) -> String {
    let narrow = |c: char| match c {
        '\u{3000}' => ' ',
        '！'..='～' => char::from_u32(c as u32 - WIDTH).unwrap_or(c),
        other => other,
    };
    text.chars().map(narrow).collect()
}

/// From a narrow letter to its wide one.
const WIDTH: u32 = 0xfee0;

#[cfg(test)]
mod tests {
    use super::*;

    fn word(query: &str) -> Result<WrittenWord, Fault> {
        asked(&Query::new(query))
    }

    #[test]
    fn parts_become_one_word_if_it_falls_once() {
        let two = "surface=%E6%9D%B1%E4%BA%AC&surface=tower&pronunciation=%E3%83%88%E3%83%BC%E3%82%AD%E3%83%A7%E3%83%BC&pronunciation=%E3%82%BF%E3%83%AF%E3%83%BC";
        let joined = word(&format!("{two}&accent_type=0&accent_type=1")).expect("one word");
        assert_eq!(
            (joined.surface.as_str(), joined.reading.as_str()),
            ("東京tower", "トーキョータワー")
        );
        assert_eq!(joined.accent, Some(5));
        let twice = word(&format!("{two}&accent_type=1&accent_type=1")).expect_err("two falls");
        assert!(twice.detail.contains("falls once"), "{}", twice.detail);
        let fewer = word(&format!("{two}&accent_type=1")).expect_err("an accent less");
        assert_eq!(fewer.field.as_deref(), Some("surface"));
        let kind =
            word("surface=a&pronunciation=b&accent_type=0&word_type=VERBS").expect_err("no kind");
        assert_eq!(kind.field.as_deref(), Some("word_type"));
    }

    #[test]
    fn a_word_keeps_its_uuid_when_it_is_renamed() {
        let of = |surface: &str| WrittenWord {
            surface: surface.to_owned(),
            ..word("surface=x&pronunciation=%E3%82%A2&accent_type=1").expect("a word")
        };
        let mut words = Vec::new();
        let first = put(&mut words, of("a"));
        assert!(is_uuid(&first));
        assert_eq!(put(&mut words, of("a")), first, "in its place");
        words[0] = WrittenWord {
            id: Some(first.clone()),
            ..of("b")
        };
        let second = put(&mut words, of("a"));
        assert_ne!(second, first);
        let ids: Vec<_> = words.iter().map(id).collect();
        assert_eq!(ids, [first, second]);
    }

    #[test]
    fn what_is_shown_is_read_again() {
        let word = word("surface=C%23&pronunciation=%E3%82%B7%E3%83%BC&accent_type=1&word_type=PERSON_FAMILY_NAME&priority=7")
            .expect("a word");
        for lists in [true, false] {
            let shown = shown(&word, lists);
            assert_eq!(shown["surface"], "Ｃ＃");
            let again: Imported = serde_json::from_value(shown).expect("a word");
            assert_eq!(again.read().as_ref(), Ok(&word));
        }
    }
}
