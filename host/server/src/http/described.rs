//! Answers and shapes that many handlers share, for the `responses` of each.

use std::borrow::Cow;
use std::collections::BTreeMap;

use utoipa::ToSchema;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, KnownFormat, RefOr, SchemaFormat};

/// Statuses by what they come from, for the `responses` of a handler. In which
/// shape they are told is the part's matter.
macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident { $($status:literal: $about:literal,)* })*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::Response>> {
                [$(($status, $about)),*]
                    .into_iter()
                    .map(|(status, about)| {
                        (status.to_owned(), utoipa::openapi::Response::new(about).into())
                    })
                    .collect()
            }
        }
    )*};
}

outcomes! {
    /// `Call::body`.
    Taking {
        "400": "The body is not as documented, or broke off",
        "408": "The body did not arrive in time",
        "413": "The body has more bytes than this server takes",
    }
    /// `App::pin`.
    Pinning {
        "503": "The first generation is still being prepared",
    }
    /// `Call::enter`.
    Entering {
        "429": "More than this key may ask",
        "503": "Every place is taken, or nothing serves yet",
    }
    /// A query or a body by which VOICEVOX's clients say what they want.
    Asking {
        "422": "A parameter or the body is wrong or missing",
    }
    /// `Presets::change`.
    ChangingPresets {
        "403": "The operator wants no changes, or a web page of an origin that may not ask",
        "409": "Their file cannot be written",
        "422": "A parameter or the body is wrong or missing",
        "500": "The file of the presets cannot be read",
    }
    /// `dictionary::edit_words`, for VOICEVOX's clients.
    ChangingWords {
        "403": "The operator wants no changes, or a web page of an origin that may not ask",
        "404": "There is no such pipeline",
        "409": "The pipeline has no dictionary, its file cannot be written, or the reload was refused",
        "422": "A parameter or the body is wrong or missing",
        "500": "The dictionary's file is none, or cannot be read",
    }
    /// A pipeline's dictionary and the words in it.
    Missing {
        "404": "There is no such pipeline or no such word",
        "409": "The pipeline has no dictionary, its file cannot be written, the reload was refused, or the word is there already",
        "500": "The dictionary's file is none, or cannot be read",
        "503": "Nothing serves yet, or the server is stopping",
    }
    /// What a text can meet in plugins and models.
    Working {
        "413": "More sound or bytes than one answer may have, or than a run has memory for; or the body is too large",
        "500": "A model failed, or work was lost; the log says why",
        "502": "A plugin is broken",
        "503": "No place, model or memory was free in time, or nothing serves yet",
        "504": "The request's time was over",
    }
}

/// What the headers say of sound.
const OF_SOUND: [(&str, Type, &str); 5] = [
    (
        "x-koemasu-generation",
        Type::Integer,
        "The generation that spoke",
    ),
    (
        "x-koemasu-sampling-rate",
        Type::Integer,
        "Samples per second",
    ),
    (
        "x-koemasu-loudness",
        Type::String,
        "How the level was set: `whole`, `running` or `none`",
    ),
    (
        "x-koemasu-warnings",
        Type::Integer,
        "How many warnings there are",
    ),
    (
        "x-koemasu-warning",
        Type::String,
        "The first 16, a header each: what was not read, percent-encoded",
    ),
];

pub(crate) fn add_header(response: &mut Response, (name, of, about): (&str, Type, &str)) {
    let header = HeaderBuilder::new().schema(Some(Object::with_type(of)));
    let header = header.description(Some(about)).build();
    response.headers.insert(name.to_owned(), header.into());
}

macro_rules! sounds {
    ($($(#[$doc:meta])* $name:ident($about:literal: $($content_type:literal),*);)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                let mut response = Response::new($about);
                OF_SOUND.into_iter().for_each(|header| add_header(&mut response, header));
                for content_type in [$($content_type),*] {
                    // What an event is, 3.1 cannot say here.
                    let sound = content_type.starts_with("audio/");
                    let content = Content::new(sound.then(<Sound as utoipa::PartialSchema>::schema));
                    response.content.insert(content_type.to_owned(), content.into());
                }
                BTreeMap::from([("200".to_owned(), response.into())])
            }
        }
    )*};
}

sounds! {
    /// In the format that was asked for.
    Spoken("The sound, from its first bytes on":
        "audio/mpeg", "audio/wav", "audio/flac", "audio/ogg", "audio/pcm", "text/event-stream");
    Wav("WAV, 16 bit, mono, at the voice's own rate": "audio/wav");
    WavFloat("WAV, 32-bit floats, mono, at the voice's own rate": "audio/wav");
}

/// Bytes of sound.
pub(crate) struct Sound;

impl utoipa::PartialSchema for Sound {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .into()
    }
}

impl ToSchema for Sound {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Sound")
    }
}

/// `["コ", 0]`: kana and tone.
pub(crate) struct SaidMora;

impl utoipa::PartialSchema for SaidMora {
    fn schema() -> RefOr<Schema> {
        let (kana, tone) = (ObjectBuilder::new(), ObjectBuilder::new());
        let tone = tone.schema_type(Type::Integer);
        let tone = tone.minimum(Some(0)).maximum(Some(1));
        utoipa::openapi::schema::ArrayBuilder::new()
            .prefix_items([kana.schema_type(Type::String).build(), tone.build()])
            .items(utoipa::openapi::schema::ArrayItems::False)
            .min_items(Some(2))
            .into()
    }
}

impl ToSchema for SaidMora {}

/// As FastAPI reads a boolean in a query.
pub(crate) struct Flag;

impl utoipa::PartialSchema for Flag {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(
                "^(?:[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|1|0|[Oo][Nn]|[Oo][Ff][Ff]|[Yy][Ee][Ss]|[Nn][Oo]|[TtFfYyNn])$",
            ))
            .into()
    }
}

impl ToSchema for Flag {}

/// A name or a number.
pub(crate) struct Step;

impl utoipa::PartialSchema for Step {
    fn schema() -> RefOr<Schema> {
        let either = utoipa::openapi::schema::SchemaType::from_iter([Type::String, Type::Integer]);
        ObjectBuilder::new().schema_type(either).into()
    }
}

impl ToSchema for Step {}

/// A JSON object of which nothing is said.
pub(crate) struct Free;

impl utoipa::PartialSchema for Free {
    fn schema() -> RefOr<Schema> {
        Object::with_type(Type::Object).into()
    }
}

impl ToSchema for Free {}

/// Any text.
pub(crate) fn text() -> RefOr<Schema> {
    Object::with_type(Type::String).into()
}

/// Schemas by their names.
#[derive(Default)]
pub(crate) struct Shapes(pub(crate) Vec<(String, RefOr<Schema>)>);

impl Shapes {
    /// Adds a shape with all it is made of, and refers to it.
    pub(crate) fn add<S: ToSchema>(&mut self) -> RefOr<Schema> {
        self.0.push((S::name().into_owned(), S::schema()));
        S::schemas(&mut self.0);
        utoipa::openapi::Ref::from_schema_name(S::name()).into()
    }
}
