//! Compiled dictionaries that are damaged: an error or an answer, no panic.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use speech::dictionary::{Dictionary, DictionaryFiles};

// Four files in one input, each after its length, and a text.
fuzz_target!(|input: (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, String, bool)| {
    let (mut sys, mut unk, mut matrix, patch, text, mend) = input;
    if mend {
        // Past the magic numbers, which chance would seldom meet.
        for file in [&mut sys, &mut unk] {
            mend_magic(file);
        }
        mend_matrix(&mut matrix);
    }
    let mut characters = vec![0; 4 + 32 + 0xffff * 4];
    characters[0] = 1;
    characters[4..11].copy_from_slice(b"DEFAULT");
    for (place, byte) in patch.iter().enumerate() {
        characters[36 + place % 1024] = *byte;
    }
    let files = DictionaryFiles {
        sys: Arc::new(sys),
        unk: Arc::new(unk),
        char: Arc::new(characters),
        matrix: Arc::new(matrix),
    };
    if let Ok(dictionary) = Dictionary::new(files) {
        let words = dictionary.divide(&text);
        let together: String = words.iter().map(|word| word.surface).collect();
        assert!(together.is_empty() || together == text);
    }
});

fn mend_magic(file: &mut Vec<u8>) {
    if file.len() < 72 {
        file.resize(72, 0);
    }
    let parts = (file.len() - 72) / 16 * 16;
    file.truncate(72 + parts);
    let magic = 0xef71_8f77 ^ file.len() as u32;
    file[0..4].copy_from_slice(&magic.to_le_bytes());
    file[16..20].copy_from_slice(&1_u32.to_le_bytes());
    file[20..24].copy_from_slice(&1_u32.to_le_bytes());
    let trie = parts / 32 * 16;
    file[24..28].copy_from_slice(&(trie as u32).to_le_bytes());
    let tokens = (parts - trie) / 32 * 16;
    file[28..32].copy_from_slice(&(tokens as u32).to_le_bytes());
    let features = parts - trie - tokens;
    file[32..36].copy_from_slice(&(features as u32).to_le_bytes());
    file[40..72].fill(0);
    file[40..45].copy_from_slice(b"utf-8");
}

fn mend_matrix(file: &mut Vec<u8>) {
    file.clear();
    file.extend([1, 0, 1, 0, 0, 0]);
}
