//! What a request does to the features of its text: the mood of another text,
//! and how much BERT has to say.

use std::sync::Arc;

use session::bert::Features;
use speech::text::NormalizedText;

use crate::error::Error;
use crate::gate::Turn;
use crate::generation::Generation;
use crate::plan::Plan;
use crate::range;
use crate::request::{Assist, Request};
use crate::voice_settings::within;
use crate::work::{blocking, stage};

/// What a request does to the features of its text.
pub(crate) struct FeatureMix {
    assist: Option<(Vec<f32>, f32)>,
    strength: f32,
}

impl FeatureMix {
    /// Runs BERT over the assisting text, if there is one.
    pub(crate) async fn of(
        generation: &Generation,
        plan: &Arc<Plan>,
        request: &Request,
        turn: Turn,
    ) -> Result<Self, Error> {
        Ok(Self {
            assist: assist(generation, plan, request.assist.as_ref(), turn).await?,
            strength: request.bert_strength.unwrap_or(1.0),
        })
    }

    pub(crate) fn apply(&self, features: Arc<Features>) -> Arc<Features> {
        if self.assist.is_none() && self.strength == 1.0 {
            return features;
        }
        let mut mixed = Features::clone(&features);
        for row in mixed.data.chunks_exact_mut(features.width.max(1)) {
            if let Some((mean, weight)) = &self.assist {
                for (value, mean) in row.iter_mut().zip(mean) {
                    *value = *value * (1.0 - weight) + mean * weight;
                }
            }
            for value in row {
                *value *= self.strength;
            }
        }
        Arc::new(mixed)
    }
}

/// The mean of the assisting text's features, and its weight.
async fn assist(
    generation: &Generation,
    plan: &Arc<Plan>,
    assist: Option<&Assist>,
    turn: Turn,
) -> Result<Option<(Vec<f32>, f32)>, Error> {
    let Some(Assist { text, weight }) = assist else {
        return Ok(None);
    };
    let text = NormalizedText::new(text.clone())
        .map_err(|e| Error::Request(format!("`assist_text`: {e}")))?;
    let reader = Arc::clone(plan);
    let utterance =
        blocking(move || Ok(reader.frontend.pronounce_with(&text, &reader.words.user))).await?;
    let gate = &generation.gate;
    let lane = gate.enter(turn).await?;
    let features = generation.features.get(plan, gate, lane, utterance.text());
    let (features, lane) = stage("bert", features).await?;
    drop(lane);
    let mut mean = vec![0.0; features.width];
    for row in features.data.chunks_exact(features.width.max(1)) {
        for (sum, value) in mean.iter_mut().zip(row) {
            *sum += value / features.rows as f32;
        }
    }
    Ok(Some((mean, *weight)))
}

/// Before any work.
pub(crate) fn check_mix(plan: &Plan, request: &Request) -> Result<(), Error> {
    if let Some(assist) = &request.assist {
        plan.check_text("`assist_text`", &assist.text)?;
    }
    let weight = request.assist.as_ref().map(|assist| assist.weight);
    within("assist_weight", weight, range::ASSIST_WEIGHT)?;
    within("bert_strength", request.bert_strength, range::BERT_STRENGTH)
}
