// Drives the clients in JavaScript against the recording server of record.py.
// usage: node clients.mjs BASE STYLE_ID SPEAKER_UUID
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import Voicevox from "voicevox-client";
import kajidog from "@kajidog/voicevox-client";

const [base, style, uuid] = process.argv.slice(2);
const speaker = Number(style);
const text = "こんにちは。今日はいい天気ですね。";
const fetches = `fetch of node ${process.versions.node.split(".")[0]}`;

function version(name) {
  const found = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return `${name} ${JSON.parse(readFileSync(found)).version} (node)`;
}

async function begin(dialect, name, client, status = null, content_type = null) {
  await fetch(base + "/__case", { method: "POST", body: JSON.stringify({ dialect, name, client, status, content_type }) });
}

async function openai() {
  const client = new OpenAI({ baseURL: base + "/v1", apiKey: "sk-test", maxRetries: 0 });
  const name = version("openai");
  await begin("openai", "plain: no format, so wav", name);
  await (await client.audio.speech.create({ model: "gpt-4o-mini-tts", voice: "demo", input: text })).arrayBuffer();
  await begin("openai", "response_format, speed and instructions", name);
  await (await client.audio.speech.create({
    model: "gpt-4o-mini-tts", voice: "demo", input: text, response_format: "pcm", speed: 1.25, instructions: "Speak slowly.",
  })).arrayBuffer();
  await begin("openai", "stream_format sse", name);
  const answer = await client.audio.speech.create({
    model: "gpt-4o-mini-tts", voice: "demo", input: text, response_format: "wav", stream_format: "sse",
  });
  await answer.text();
}

async function voicevox() {
  const client = new Voicevox.default(base);
  const name = version("voicevox-client");
  await begin("voicevox", "speakers", name);
  await client.fetchSpeakers();
  await begin("voicevox", "audio query", name);
  const query = await client.createAudioQuery(text, speaker);
  await begin("voicevox", "synthesis: a query with fields of the client's own, without newer ones", name);
  await query.synthesis(speaker);
  await begin("voicevox", "synthesis, rising questions", name);
  await query.synthesis(speaker, { interrogative_upspeak: true });
  await begin("voicevox", "presets", name);
  await client.fetchPresets();
  const preset = {
    id: 1002, name: "ゆっくり", speaker_uuid: uuid, style_id: speaker, speedScale: 0.8, pitchScale: 0, intonationScale: 1,
    volumeScale: 1, prePhonemeLength: 0.1, postPhonemeLength: 0.1,
  };
  await begin("voicevox", "a preset without newer fields", name);
  await client.addPreset(preset);
  await begin("voicevox", "audio query from a preset", name);
  await client.createAudioQueryFromPreset(text, 1002);
  await begin("voicevox", "a preset changed", name);
  await client.updatePreset({ ...preset, speedScale: 0.9 });
  await begin("voicevox", "a preset away", name);
  await client.deletePreset(1002);
}

async function voicevoxByAxios() {
  const name = version("@kajidog/voicevox-client");
  const api = new kajidog.VoicevoxApi(base);
  await begin("voicevox", "speakers", name);
  await api.getSpeakers();
  await begin("voicevox", "one speaker", name);
  await api.getSpeakerInfo(uuid);
  await begin("voicevox", "audio query: its body says null", name);
  const query = await api.generateQuery(text, speaker);
  await begin("voicevox", "synthesis", name);
  await api.synthesize(query, speaker);
}

async function pages() {
  const post = { method: "POST" };
  await begin("voicevox", "as pages do, style before text", fetches);
  const query = await (await fetch(`${base}/audio_query?speaker=${style}&text=${encodeURIComponent(text)}`, post)).json();
  query.speedScale = 1.1;
  query.pitchScale = 0;
  query.intonationScale = 1;
  await begin("voicevox", "as pages do, a few scales set", fetches);
  await (await fetch(`${base}/synthesis?speaker=${style}`, {
    ...post, headers: { "Content-Type": "application/json" }, body: JSON.stringify(query),
  })).arrayBuffer();
  await begin("voicevox", "a dictionary word, as scripts add it", fetches);
  await fetch(`${base}/user_dict_word?surface=${encodeURI("里志")}&pronunciation=${encodeURI("サトシ")}&accent_type=0&word_type=PROPER_NOUN`, post);

  const parameters = new URLSearchParams({
    text: "こんにちは 世界", model_id: "0", style: "Neutral", sdp_ratio: "0.2", length: "1", language: "JP",
  });
  await begin("sbv2", "as avatar front ends do: content-type on a GET, plus for a blank", fetches);
  await (await fetch(`${base}/voice?${parameters}`, { headers: { "Content-Type": "audio/wav" } })).arrayBuffer();
  await begin("sbv2", "POST without a body", fetches);
  await (await fetch(`${base}/voice?${parameters}`, post)).arrayBuffer();
}

await openai();
await voicevox();
await voicevoxByAxios();
await pages();
