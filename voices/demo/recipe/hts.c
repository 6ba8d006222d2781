/* The HTS engine's own acoustic parameters, which its Python bindings keep to themselves.
 *
 * Full-context labels go in; the generated parameter streams (mel-cepstrum, ln F0), the state
 * durations and, when asked for, the waveform come out. One engine per process. */
#include <HTS_engine.h>

static HTS_Engine engine;

int teacher_load(char *voice) {
  char *voices[1] = {voice};
  HTS_Engine_initialize(&engine);
  return HTS_Engine_load(&engine, voices, 1);
}

/* Parameters only: some twenty times faster than with the waveform, and bit-equal to it. */
int teacher_parameters(char **labels, int count) {
  HTS_Engine_refresh(&engine);
  return HTS_Engine_generate_state_sequence_from_strings(&engine, labels, count) &&
         HTS_Engine_generate_parameter_sequence(&engine);
}

int teacher_waveform(void) { return HTS_Engine_generate_sample_sequence(&engine); }

int teacher_frames(void) { return (int)engine.pss.total_frame; }
int teacher_states(void) { return (int)engine.sss.total_state; }
int teacher_states_per_phone(void) { return (int)engine.sss.nstate; }
int teacher_samples(void) { return (int)engine.gss.total_nsample; }

/* Frames of each state. */
void teacher_durations(int *out) {
  for (size_t i = 0; i < engine.sss.total_state; i++) out[i] = (int)engine.sss.duration[i];
}

/* Stream `stream` as [frames, width]; 0 where a stream of voiced frames only (ln F0) has none. */
void teacher_stream(int stream, int width, float *out) {
  HTS_PStream *from = &engine.pss.pstream[stream];
  size_t row = 0;
  for (size_t t = 0; t < engine.pss.total_frame; t++) {
    int present = from->msd_flag ? from->msd_flag[t] : 1;
    for (int k = 0; k < width; k++) out[t * width + k] = present ? (float)from->par[row][k] : 0.0f;
    row += present ? 1 : 0;
  }
}

/* Samples at 48 kHz, full scale 1. */
void teacher_samples_copy(float *out) {
  for (size_t i = 0; i < engine.gss.total_nsample; i++)
    out[i] = (float)(engine.gss.gspeech[i] / 32768.0);
}
