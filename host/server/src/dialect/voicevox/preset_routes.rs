//! The routes of presets.

use super::body::Loc;
use super::may_change;
use super::presets::{Preset, Presets};
use crate::http::answer::{self, Answer};
use crate::http::described::{ChangingPresets, Pinning, Taking};
use crate::http::fault::Fault;
use crate::http::query::{Query, wrong};
use crate::http::route::Call;

const PRESETS_MAX: usize = 1_000;

/// The presets.
#[utoipa::path(get, path = "/presets",
    responses(
        (status = 200, description = "All of them", body = Vec<Preset>),
        (status = 500, description = "The file of the presets cannot be read"),
    ),
)]
pub(crate) async fn list(call: Call) -> Result<Answer, Fault> {
    Ok(answer::json(&call.app.state::<Presets>()?.all().await?))
}

/// One more preset; a number that is taken becomes another one.
#[utoipa::path(post, path = "/add_preset",
    request_body = Preset,
    responses(
        (status = 200, description = "Its number", body = i64, content_type = "application/json"),
        Taking,
        Pinning,
        ChangingPresets,
    ),
)]
pub(crate) async fn add(mut call: Call) -> Result<Answer, Fault> {
    may_change(&call)?;
    let mut preset = Preset::parse(&call.body())?;
    let add = |presets: &mut Vec<Preset>| {
        if presets.len() >= PRESETS_MAX {
            return Err(Loc::body().wrong(format!("there are {PRESETS_MAX} presets, the most")));
        }
        if preset.id < 0 || presets.iter().any(|it| it.id == preset.id) {
            preset.id = presets.iter().map(|it| it.id).max().unwrap_or(-1).max(-1) + 1;
        }
        let id = preset.id;
        presets.push(preset);
        Ok(id)
    };
    Ok(answer::json(
        &call.app.state::<Presets>()?.change(add).await?,
    ))
}

/// Another preset of the same number.
#[utoipa::path(post, path = "/update_preset",
    request_body = Preset,
    responses(
        (status = 200, description = "Its number", body = i64, content_type = "application/json"),
        Taking,
        Pinning,
        ChangingPresets,
    ),
)]
pub(crate) async fn update(mut call: Call) -> Result<Answer, Fault> {
    may_change(&call)?;
    let preset = Preset::parse(&call.body())?;
    let update = |presets: &mut Vec<Preset>| {
        let id = preset.id;
        let known = presets.iter_mut().find(|it| it.id == id);
        let known = known.ok_or_else(|| {
            Loc::body()
                .at("id")
                .wrong(format!("there is no preset {id}"))
        })?;
        *known = preset;
        Ok(id)
    };
    Ok(answer::json(
        &call.app.state::<Presets>()?.change(update).await?,
    ))
}

/// A preset less.
#[utoipa::path(post, path = "/delete_preset",
    params(("id" = i64, Query)),
    responses(
        (status = 204, description = "It is done"),
        Pinning,
        ChangingPresets,
    ),
)]
pub(crate) async fn delete(call: Call) -> Result<Answer, Fault> {
    may_change(&call)?;
    let query = Query::new(call.query());
    query.needed("id")?;
    let id: i64 = query.number("id")?.unwrap_or_default();
    let delete = |presets: &mut Vec<Preset>| {
        let before = presets.len();
        presets.retain(|it| it.id != id);
        match presets.len() == before {
            true => Err(wrong("id", format!("there is no preset {id}"))),
            false => Ok(()),
        }
    };
    call.app.state::<Presets>()?.change(delete).await?;
    Ok(answer::no_content())
}
