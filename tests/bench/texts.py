"""Texts that no cache knows, and a pipeline in which only their length counts."""

PHRASES = ("今日は朝から雨が降っています 駅前の喫茶店で友人と話しました 新しい机が午後に届く予定です 明日の会議は三時に始まります "
           "夕方には風が少し強くなります 窓の外で小さな鳥が鳴いていた 図書館で古い地図を見つけました 電車が遅れているようです "
           "温かいお茶を飲みながら本を読む 山の上から町の灯りが見える 先生は黒板に大きな字を書いた 音楽を聞くと気持ちが落ち着く").split()
PIPELINE = """language = "ja"
[normalize]
plugins = ["normalize-sbv2"]
[bert]
model = "{bert}"
[bucket]
plugin = "bucket-ladder"
[synthesize]
sdp_ratio = 0.0
"""


def text(characters, rng):
    """Sentences of 10 to 20 characters, cut to the length asked for. Each is another one."""
    made = ""
    while len(made) < characters:
        made += rng.choice(PHRASES) + rng.choice("、。")
    return made[:characters - 1].rstrip("、。").ljust(characters - 1, "あ") + "。"
