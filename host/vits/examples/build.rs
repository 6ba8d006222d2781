//! Writes the graph of a voice whose tensors' shapes are given as JSON, and
//! where it wants each weight: `cargo run -p vits --example build -- SHAPES
//! CONFIG MODEL WANTED`. The weights lie one after the other in `weights`.

use std::collections::BTreeMap;

use vits::sizes::{Configured, Sizes};
use vits::{External, Fold, Wanted, voice};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let shapes = std::fs::read(&args[0]).expect("shapes");
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_slice(&shapes).expect("JSON");
    let config = std::fs::read(&args[1]).expect("a config");
    let config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
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
    let sizes = Sizes::find(&|key| shapes.get(key).cloned(), &configured).expect("a voice");
    let (mut wanted, mut end) = (Vec::new(), 0);
    let mut place = |it: &Wanted| {
        let bytes = 4 * it.dims.iter().product::<i64>() as u64;
        let offset = end;
        end += bytes;
        let fold = match it.fold {
            Fold::None => "none",
            Fold::Norm => "norm",
            Fold::Rows => "rows",
        };
        wanted.push(
            serde_json::json!({"key": it.key, "fold": fold, "dims": it.dims, "offset": offset}),
        );
        Some(External {
            location: "weights".to_owned(),
            offset,
            bytes,
            data_type: 1,
        })
    };
    let model = voice::model(&sizes, sizes.speakers, &mut place).expect("every weight");
    std::fs::write(&args[2], model).expect("written");
    let wanted = serde_json::Value::from(wanted);
    std::fs::write(&args[3], wanted.to_string()).expect("written");
}
