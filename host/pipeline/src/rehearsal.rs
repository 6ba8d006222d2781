//! Speaks one short word with each voice that is new and through each pipeline
//! that is new, so that what cannot speak never serves. What fails is left out
//! by name, or goes on as it was; the rest serves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use session::residency::Residency;
use session::voice::Voice;

use crate::document::Place;
use crate::error::Error;
use crate::generation::Generation;
use crate::left_out::{Kind, LeftOut};
use crate::prepare::PrepareError;
use crate::request::{Request, VoiceRef};
use crate::spec::Service;
use crate::synthesize::synthesize;

/// A server with much to do may keep a rehearsal waiting.
const PAUSE: Duration = Duration::from_millis(250);

/// Who need not be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Whoever spoke after an earlier start.
    Spoken,
    Nobody,
}

pub(crate) async fn rehearse(
    mut next: Generation,
    old: Option<&Generation>,
    service: &Service,
    residency: &Residency,
    trust: Trust,
) -> Result<Arc<Generation>, PrepareError> {
    let limit = service.package_timeout.0;
    let mut heard = BTreeSet::new();
    let is_trusted = |voice: &Voice| trust == Trust::Spoken && residency.has_spoken(voice);
    let trusted = next.voices.iter().filter(|(_, voice)| is_trusted(voice));
    let trusted: BTreeSet<_> = trusted.map(|(name, _)| name.clone()).collect();
    for (name, voice) in &next.voices {
        let before = old.and_then(|old| old.voices.get(name));
        if before.is_some_and(|before| Arc::ptr_eq(before, voice)) {
            heard.insert((Kind::Voice, name.clone()));
        }
    }
    for (name, plan) in &next.plans {
        let before = old.and_then(|old| old.plans.get(name));
        if before.is_some_and(|before| before.spec == plan.spec) {
            heard.insert((Kind::Pipeline, name.clone()));
        }
    }
    loop {
        next.must_serve(service)?;
        let Some((voice, plan)) = pair(&next, &heard, &trusted) else {
            return Ok(Arc::new(next));
        };
        let trial = Arc::new(next);
        let said = say(&trial, &voice, &plan, limit).await;
        next = trial.again();
        let (a_voice, a_plan) = ((Kind::Voice, voice.clone()), (Kind::Pipeline, plan.clone()));
        match said {
            Ok(()) => {
                residency.spoke(&next.voices[&voice]);
                heard.insert(a_voice);
                heard.insert(a_plan);
            }
            Err(cause) => {
                let new_plan = !heard.contains(&a_plan);
                let plans_fault = matches!(cause, Error::Plugin { .. }) || heard.contains(&a_voice);
                let (kind, name) = match new_plan && plans_fault {
                    true => a_plan,
                    false => a_voice,
                };
                let place = place(&cause, service, &plan);
                let cause = PrepareError::Rehearsal {
                    voice,
                    pipeline: plan,
                    cause,
                };
                let cause = cause.at(place);
                // What served before need not be heard again.
                heard.insert((kind, name.clone()));
                next.leave_out(old, kind, &name, cause.to_string());
            }
        }
    }
}

/// The next that has to be heard: the default pipeline first, with a voice that
/// is known to speak if there is one.
fn pair(
    next: &Generation,
    heard: &BTreeSet<(Kind, String)>,
    trusted: &BTreeSet<String>,
) -> Option<(String, String)> {
    let voice_heard = |name: &&String| heard.contains(&(Kind::Voice, (*name).clone()));
    let plan_heard = |name: &&String| heard.contains(&(Kind::Pipeline, (*name).clone()));
    let witness = next.voices.keys().find(voice_heard);
    let witness = witness.or_else(|| next.voices.keys().next())?;
    let default = &next.default_plan;
    if !plan_heard(&default) {
        return Some((witness.clone(), default.clone()));
    }
    let unheard = |name: &&String| !voice_heard(name) && !trusted.contains(*name);
    if let Some(voice) = next.voices.keys().find(unheard) {
        return Some((voice.clone(), default.clone()));
    }
    let plan = next.plans.keys().find(|name| !plan_heard(name))?;
    Some((witness.clone(), plan.clone()))
}

async fn say(
    next: &Arc<Generation>,
    voice: &str,
    pipeline: &str,
    limit: Duration,
) -> Result<(), Error> {
    let mut refused = None;
    let speak = async {
        loop {
            let request = Request {
                text: "こんにちは。".to_owned(),
                voice: VoiceRef::named(voice),
                pipeline: Some(pipeline.to_owned()),
                rehearsal: true,
                ..Request::default()
            };
            match synthesize(next, request).await {
                // Those who are served have it all just now.
                Err(error @ (Error::Busy { .. } | Error::Full { .. } | Error::NoRoom { .. })) => {
                    refused = Some(error);
                    tokio::time::sleep(PAUSE).await;
                }
                said => return said.map(drop),
            }
        }
    };
    // Dropped, a run is told to end.
    let said = tokio::time::timeout(limit, speak).await;
    said.unwrap_or_else(|_| Err(refused.unwrap_or(Error::Deadline { limit })))
}

/// Where the operator has written what made a word go unsaid; nowhere if it is
/// nothing of theirs.
fn place(cause: &Error, service: &Service, pipeline: &str) -> Place {
    let named = service.document.named_in(&cause.to_string());
    if named != Place::default() {
        return named;
    }
    let of_service = |key: &[&str]| service.document.place(key);
    let spec = service.pipelines.get(pipeline);
    let of_pipeline = |key: &[&str]| spec.map_or_else(Place::default, |it| it.document.place(key));
    match cause {
        // It had to be said sooner than the pipeline asks for.
        Error::Deadline { limit } if *limit == service.package_timeout.0 => {
            of_service(&["reload", "package_timeout"])
        }
        Error::Deadline { .. } => of_pipeline(&["limits", "deadline"]),
        Error::Request(_) | Error::Text(_) => of_pipeline(&["limits", "characters_max"]),
        Error::Unknown { kind: "style", .. } => of_pipeline(&["synthesize", "style"]),
        Error::Plugin { .. } => of_pipeline(&["normalize", "plugins"]),
        Error::TooLarge(_) => of_service(&["answers"]),
        Error::NoRoom { .. } => of_service(&["memory", "workspace"]),
        Error::Busy { .. } => of_service(&["models", "wait"]),
        Error::Full { .. } => of_service(&["models", "queue"]),
        Error::Unknown { .. }
        | Error::Broken { .. }
        | Error::Model { .. }
        | Error::Gone
        | Error::Lost(_) => Place::default(),
    }
}

impl Generation {
    /// Left out by name; what served under it before goes on if it can.
    pub(crate) fn leave_out(
        &mut self,
        old: Option<&Generation>,
        kind: Kind,
        name: &str,
        cause: String,
    ) {
        let carried_on = match kind {
            Kind::Voice => {
                self.voices.remove(name);
                let before = old.and_then(|old| old.voices.get(name));
                let before = before.filter(|voice| voice.lasts());
                before.map(|voice| self.voices.insert(name.to_owned(), Arc::clone(voice)))
            }
            .is_some(),
            Kind::Pipeline => {
                self.plans.remove(name);
                let before = old.and_then(|old| old.plans.get(name));
                before
                    .map(|plan| self.plans.insert(name.to_owned(), Arc::clone(plan)))
                    .is_some()
            }
            Kind::Dictionary => true,
        };
        self.left_out.push(LeftOut {
            kind,
            name: name.to_owned(),
            cause,
            carried_on,
        });
    }

    /// Without a voice or without the pipeline of those who name none there is
    /// nothing to serve; and with `voices.strict` not without one of them.
    fn must_serve(&self, service: &Service) -> Result<(), PrepareError> {
        let mut voices = self.left_out.iter().filter(|out| out.kind == Kind::Voice);
        if service.strict
            && let Some(out) = voices.next()
        {
            let strict = PrepareError::Strict(out.cause.clone());
            return Err(strict.at(service.document.exactly(&["voices", "strict"])));
        }
        if !self.voices.is_empty() && self.plans.contains_key(&self.default_plan) {
            return Ok(());
        }
        let causes = self.left_out.iter().filter(|out| !out.carried_on);
        Err(PrepareError::Nothing(
            causes
                .map(|out| out.cause.clone())
                .collect::<Vec<_>>()
                .join("; "),
        ))
    }
}
