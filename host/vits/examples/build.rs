//! Writes the graph of a voice or BERT whose tensors' shapes are given as JSON, and
//! where it wants each weight: `cargo run -p vits --example build -- SHAPES
//! CONFIG MODEL WANTED`. The weights lie one after the other in `weights`.

use std::collections::BTreeMap;

use vits::sizes::{Configured, Sizes};
use vits::{External, Fold, Wanted, deberta, voice};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let shapes = std::fs::read(&args[0]).expect("shapes");
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_slice(&shapes).expect("JSON");
    let config = std::fs::read(&args[1]).expect("a config");
    let config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
    let (mut wanted, mut end) = (Vec::new(), 0);
    let mut place = |it: &Wanted| {
        let bytes = 4 * it.dims.iter().product::<i64>() as u64;
        let offset = end;
        end += bytes;
        let (fold, row) = match it.fold {
            Fold::None => ("none", 0),
            Fold::Norm => ("norm", 0),
            Fold::Rows => ("rows", 0),
            Fold::From(row) => ("from", row),
            Fold::Positions => ("positions", 0),
        };
        wanted.push(
            serde_json::json!({"key": it.key, "fold": fold, "row": row, "dims": it.dims, "offset": offset}),
        );
        Ok::<_, std::convert::Infallible>(External {
            location: "weights".to_owned(),
            offset,
            bytes,
            data_type: 1,
        })
    };
    let shape = |key: &str| shapes.get(key).cloned();
    let model = match config.get("model_type") {
        Some(_) => deberta::model(&bert(&shape, &config), &mut place),
        None => {
            let sizes = voice_sizes(&shape, &config);
            voice::model(&sizes, sizes.speakers, &mut place)
        }
    };
    let model = model.expect("every weight");
    std::fs::write(&args[2], model).expect("written");
    let wanted = serde_json::Value::from(wanted);
    std::fs::write(&args[3], wanted.to_string()).expect("written");
}

type Shape<'s> = dyn Fn(&str) -> Option<Vec<usize>> + 's;

fn voice_sizes(shape: &Shape<'_>, config: &serde_json::Value) -> Sizes {
    let list = |it: &serde_json::Value| -> Vec<usize> {
        let list = it.as_array().expect("a list").iter();
        list.map(|it| it.as_u64().expect("a number") as usize)
            .collect()
    };
    let model = &config["model"];
    let configured = Configured {
        upsample_rates: list(&model["upsample_rates"]),
        resblock_dilations: model["resblock_dilation_sizes"]
            .as_array()
            .expect("a list")
            .iter()
            .map(list)
            .collect(),
        hop_length: config["data"]["hop_length"].as_u64().expect("a number") as usize,
    };
    Sizes::find(shape, &configured).expect("a voice")
}

fn bert(shape: &Shape<'_>, config: &serde_json::Value) -> deberta::Sizes {
    let number = |name: &str| config[name].as_i64().expect("a number");
    let text = |name: &str| config[name].as_str().expect("a text").to_owned();
    let attends = config["pos_att_type"].as_array().expect("a list").iter();
    let configured = deberta::Configured {
        model_type: text("model_type"),
        layers: number("num_hidden_layers") as usize,
        heads: number("num_attention_heads") as usize,
        head: Some(number("attention_head_size") as usize),
        buckets: number("position_buckets"),
        positions: number("max_position_embeddings") as usize,
        epsilon: config["layer_norm_eps"].as_f64().expect("a number") as f32,
        activation: text("hidden_act"),
        conv_activation: text("conv_act"),
        position_norm: text("norm_rel_ebd"),
        attends: attends
            .map(|it| it.as_str().expect("a text").to_owned())
            .collect(),
        relative: true,
        shared: true,
    };
    deberta::Sizes::find(shape, &configured).expect("a BERT")
}
