//! Units, signs and currency: figures with what they count, and the signs of
//! sums. Figures are read here with their unit; lone figures are left to
//! `ja-numbers`.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod currency;
mod signs;
mod units;

use normalizer::draft::Draft;
use normalizer::policy::{Host, Policy};
use normalizer::settings::{Kind, Setting, Values};

pub struct Units;

#[cfg(target_arch = "wasm32")]
normalizer::component!(crate::Units);

impl Policy for Units {
    const NAME: &'static str = "ja-units";
    const SETTINGS: &'static [Setting] = &[
        Setting {
            key: "currency",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "cents",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "units",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "signs",
            kind: Kind::Flag(true),
        },
    ];

    fn normalize(draft: &mut Draft, settings: &Values, _: &dyn Host) {
        let cents = settings.flag("cents");
        draft.rewrite(|place| {
            signs::minus(&place)
                .filter(|_| settings.flag("signs"))
                .or_else(|| currency::read(&place, cents).filter(|_| settings.flag("currency")))
                .or_else(|| units::read(&place).filter(|_| settings.flag("units")))
                .or_else(|| signs::read(&place).filter(|_| settings.flag("signs")))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use normalizer::policy::read;

    fn check(cases: &[(&str, &str)]) {
        for (text, expected) in cases {
            assert_eq!(&read::<Units>(text), expected, "{text}");
        }
    }

    #[test]
    fn units() {
        check(&[
            ("-7dB", "マイナス七デシベル"),
            ("1.536kHz", "一点ゴサンロクキロヘルツ"),
            ("100km/h", "百キロメートルマイジ"),
            ("50m²と20m3", "五十ヘイホウメートルと二十リッポウメートル"),
            ("36.5℃", "三十六点ゴ度"),
            ("4K", "4K"),
            ("5mmap", "5mmap"),
        ]);
    }

    #[test]
    fn currency() {
        check(&[
            ("$100", "百ドル"),
            ("$1.50", "一ドル五十セント"),
            ("¥1,980", "千九百八十円"),
            ("100$", "百ドル"),
            ("10USD", "十ドル"),
            ("$5M", "五ミリオンドル"),
            ("JPY 3000", "三千円"),
            ("¥0", "ゼロ円"),
        ]);
    }

    #[test]
    fn signs() {
        check(&[
            ("1+1=2", "1プラス1イコール2"),
            ("x = y", "x イコールy"),
            ("3×4", "3カケル4"),
            ("2^10", "2のジュウジョウ"),
            ("〇〇さん", "マルマルさん"),
            ("第〇回", "第マル回"),
            ("温度は-7", "温度はマイナス7"),
            ("A-7", "A-7"),
            ("B&C", "BアンドC"),
        ]);
    }
}
