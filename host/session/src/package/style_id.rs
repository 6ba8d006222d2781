//! The one number by which clients of VOICEVOX name a speaker's style.
//!
//! AivisSpeech makes it of the speaker's uuid, and its clients keep it, so it
//! has to be the same here.

use md5::{Digest, Md5};

/// How many styles of one speaker have a number.
const STYLES_MAX: u32 = 32;

/// 27 bits of the digest of the uuid's text, then 5 of the style; never
/// negative in 32 bits. None for a style that 5 bits cannot say.
pub fn style_id(speaker_uuid: &str, local_id: u32) -> Option<u32> {
    if local_id >= STYLES_MAX {
        return None;
    }
    let digest: [u8; 16] = Md5::digest(speaker_uuid).into();
    let [.., a, b, c, d] = digest;
    let id = u32::from_be_bytes([a, b, c, d]) << STYLES_MAX.ilog2() | local_id;
    Some(id & (u32::MAX >> 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Python: `(int(md5(uuid).hexdigest(), 16) & (2**27 - 1)) << 5 | local`,
    /// without bit 31.
    #[test]
    fn ids_are_those_that_clients_keep() {
        for (uuid, local, id) in [
            ("f44c8bd7-c770-4d2e-851e-47a6623be534", 0, 1_541_062_048),
            ("f44c8bd7-c770-4d2e-851e-47a6623be534", 4, 1_541_062_052),
            ("f3461bd2-f37c-4923-bc5f-c9614de9635e", 0, 1_733_487_008),
            ("e756b8e4-b606-4e15-99b1-3f9c6a1b2317", 0, 888_753_760),
            ("00000000-0000-0000-0000-000000000000", 31, 1_570_875_007),
            ("ffffffff-ffff-ffff-ffff-ffffffffffff", 7, 1_733_384_743),
            // Here bit 31 would be set.
            ("00000000-0000-0000-0000-000000000001", 9, 563_997_673),
        ] {
            assert_eq!(style_id(uuid, local), Some(id), "{uuid} {local}");
            assert_eq!(id & 31, local, "{uuid} {local}");
        }
        assert_eq!(style_id("", 32), None);
    }
}
