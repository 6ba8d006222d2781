"""Sentences to learn from and to test with, all of them the project's own.

Patterns filled from word lists, invented katakana words (some phones are rare in Japanese text), and
a few dozen whole sentences that only the test sees.
"""

import random

TIMES = (
    "今日 明日 昨日 今朝 今夜 来週 先週 来年 去年 毎日 毎朝 週末 夏休み 午後三時 午前十時 月曜日 土曜日 来月 さっき "
    "もうすぐ いつも ときどき 夕方 真夜中 お昼 春 秋 冬の朝 三日前 一時間後 この間 最近 昔 将来 年末 放課後"
).split()
PEOPLE = (
    "私 僕 彼 彼女 母 父 妹 弟 姉 兄 先生 友達 学生 社長 医者 子供 おばあさん おじいさん 隣の人 駅員 店員 田中さん "
    "鈴木さん 佐藤さん 山本さん 渡辺さん 猫 犬 鳥 みんな 誰か 運転手 看護師 作家 大工さん 案内係 部長 後輩 双子 "
    "旅人 画家 歌手 料理人 郵便屋さん お客様 係の者 選手 監督"
).split()
PLACES = (
    "公園 学校 図書館 東京 大阪 京都 北海道 駅前 海辺 山の上 病院 市役所 喫茶店 本屋 台所 空港 会議室 庭 橋の下 "
    "動物園 美術館 映画館 屋上 宇宙 沖縄 横浜 神戸 福岡 名古屋 仙台 広島 金沢 工場 体育館 交差点 温泉 郵便局 "
    "市場 港 神社 研究所 教室 玄関 廊下 地下鉄 展望台 牧場 森の奥 川沿い 商店街"
).split()
THINGS = (
    "本 手紙 りんご 新聞 電車 自転車 写真 音楽 映画 料理 宿題 牛乳 魚 お茶 コーヒー 帽子 傘 財布 切符 地図 絵 歌 "
    "卵 柿 味噌汁 ラーメン ピアノ テレビ カメラ スマートフォン パソコン 辞書 茶碗 着物 百円玉 餅 布団 雑誌 窓 "
    "ドア 音声 物語 ニュース プログラム 箸 橋 飴 雨雲 花火 鍵 眼鏡 荷物 薬 石鹸 箱 椅子 机 時計 指輪 切手 絵の具 "
    "きゅうり じゃがいも 玉ねぎ 豆腐 納豆 おにぎり 饅頭 羊羹 ケーキ ジュース チョコレート クッキー シャツ ギター "
    "バイオリン ロボット エレベーター ボール ノート 表 百科事典 計画 約束 理由 返事 質問 答え 秘密 夢 意見 冗談 "
    "噂 旅行 仕事 掃除 洗濯 試合 練習 会議 授業 遊び 勝負 発表 給料 予算 材料 機械 道具 船 飛行機 氷 星 月 雪だるま "
    "入場券 湯のみ 風呂敷 屏風 弁当 急須 封筒 人形 提灯 線香花火 方位磁石 顕微鏡 望遠鏡 百人一首 蒸気機関車"
).split()
ACTS = (
    "買いました 見ました 読みました 食べました 忘れました 探しています 作っています 待っています 持って行きます "
    "聞きたいです 直してもらった 借りてもいいですか 売っていますか 運びます 描きました 見つけた 壊してしまいました "
    "選びました 届けてください 送ります 使います 準備している 調べてみよう 片付けなければならない 洗った 並べておいた "
    "思い出しました 教えてあげよう 配っている 比べました 集めていました 投げた 拾いました 隠さないでください 褒められた "
    "知りません 数えられなかった 預けたはずだ 譲るつもりです 包んでもらえますか 磨き続けた 開けましょう 閉めてきます"
).split()
QUALITIES = (
    "大きな 小さな 赤い 青い 白い 黒い 新しい 古い 美しい 静かな 賑やかな 冷たい 温かい 甘い 難しい 不思議な 珍しい "
    "便利な 丈夫な 長い 短い 重い 軽い 丸い 四角い 怪しい 透明な 派手な 地味な 柔らかい 硬い 懐かしい 立派な 安い "
    "高そうな 壊れかけた 見慣れない 手作りの 外国の 誰も知らない"
).split()
MANNERS = (
    "ゆっくり すぐに 静かに 一緒に もう一度 たくさん 少しだけ 本当に きっと やっぱり ちょっと はっきり 丁寧に "
    "一生懸命 急に 自然に たぶん 全部 こっそり 慌てて 楽しそうに 黙って まっすぐ ぴったり 早速 順番に 何度も "
    "ようやく 意外と びっくりするほど"
).split()
LINKS = (
    "しかし、 だから、 それから、 ところで、 例えば、 もちろん、 つまり、 実は、 さて、 なぜなら、 でも、 そして、 "
    "ですから、 ちなみに、 とはいえ、 要するに、 ええと、 あの、 ねえ、 なるほど、 残念ながら、 ひょっとすると、 はい、 "
    "いいえ、 ああ、"
).split()
HAPPENINGS = (
    "動き始めた 光っている 落ちてきました 好きです 聞こえますか 必要です 増えました 壊れた 見えます 消えてしまった "
    "届きました 足りません 流行っている 上手になった 気になります 怖いんです 出てこない 一番だ 変わりましたね 始まります "
    "続いている 似合いますよ 減っていく 欲しかった 余っています"
).split()
ADJECTIVES = (
    "おいしい 楽しい 寒い 暑い 忙しい 眠い 面白い 素晴らしい 恥ずかしい 嬉しい 悲しい 遠い 近い 広い 狭い 速い 遅い "
    "元気 静か 大変 平気 有名 簡単 残念 綺麗 贅沢 慎重"
).split()
NUMBERS = (
    "一 二 三 四 五 六 七 八 九 十 十一 十四 二十 三十五 百 二百三 六百 八百五十 千 三千 一万 二万五千 百万"
).split()
COUNTERS = "円 人 本 枚 回 年 月 時間 分 秒 階 個 キロ メートル パーセント 歳 匹 冊 台 件 度 点 ページ".split()
MORAE = (
    "ア イ ウ エ オ カ キ ク ケ コ ガ ギ グ ゲ ゴ サ シ ス セ ソ ザ ジ ズ ゼ ゾ タ チ ツ テ ト ダ デ ド ナ ニ ヌ ネ ノ "
    "ハ ヒ フ ヘ ホ バ ビ ブ ベ ボ パ ピ プ ペ ポ マ ミ ム メ モ ヤ ユ ヨ ラ リ ル レ ロ ワ "
    "キャ キュ キョ ギャ ギュ ギョ シャ シュ ショ ジャ ジュ ジョ チャ チュ チョ ニャ ニュ ニョ ヒャ ヒュ ヒョ ビャ ビュ ビョ "
    "ピャ ピュ ピョ ミャ ミュ ミョ リャ リュ リョ ファ フィ フェ フォ ティ ディ デュ テュ ウィ ウェ ウォ シェ ジェ チェ "
    "ツァ ヴァ ヴィ ヴ ヴェ ヴォ"
).split()

GREETINGS = (
    "こんにちは。 こんばんは。 おはようございます。 ありがとうございます。 はじめまして、よろしくお願いします。 "
    "すみません、駅はどこですか？ お元気ですか？ 今日はいい天気ですね。 音声合成の準備ができました。 これはテストです。 "
    "いらっしゃいませ。 お待たせしました。 もう一度お願いします。 わかりました。 いいえ、違います。 はい、そうです。 "
    "おやすみなさい。 また明日会いましょう！ 助けて！ 本当ですか？ すごい！ やったー！ どうぞ、こちらへ。 "
    "お誕生日おめでとう！ 気をつけて行ってらっしゃい。 ごちそうさまでした。 いただきます。 失礼します。 "
    "声のサンプルを再生しています。 サーバーが起動しました。 ようこそ、声の世界へ。 この声は、小さなモデルで合成されています。 "
    "ただいま。 おかえりなさい。 どういたしまして。 ごめんなさい。 ちょっと待って！ 大丈夫ですか？ えっ、嘘でしょう？ "
    "うん。 はい。 いいえ。 ねえ。 へえ…。 ううん。 さようなら。"
).split()

# Read by the test only: words and patterns that the lists above do not have.
UNSEEN = (
    "窓際の席が空いたら知らせてください。 洗濯物を取り込む前に夕立が来た。 この坂を下ると踏切に出ます。 "
    "祖父は若い頃、灯台で働いていたそうだ。 鍋の蓋を取った途端、湯気が上がった。 来賓の挨拶が長引いている。 "
    "切り株に腰を下ろして水筒を開けた。 あの俳優の台詞回しは独特ですね。 残業続きで肩が凝ってしまった。 "
    "梅の実を漬けるには少し早いでしょう。 回覧板はもう回しましたか？ 毛糸が足りなくて袖が編めない。 "
    "迷子の放送が三度も流れました。 霧が晴れて、向こう岸が姿を現した。 蛇口をひねっても水が出ません。 "
    "小銭ばかりで財布が膨らんでいる。 受験票に顔写真を貼るのを忘れないように。 蝉の声が急にやんだ。 "
    "その件は改めてご連絡いたします。 隣町まで歩けば四十分はかかるよ。 焦げた匂いがしませんか？ "
    "初対面なのに話が弾んだ。 電池が切れたら裏の蓋を外してください。 雨漏りの跡が天井に残っている。 "
    "猟師は足跡をたどって谷へ向かった。 署名と捺印をお願いします。 寝癖がついたまま出勤した。 "
    "稲刈りの季節には親戚が集まる。 返却期限を過ぎると延滞料が発生します。 彗星の尾が夜空に伸びた。 "
    "不意に背中を押されて転びそうになった。 発酵が進むと酸味が強くなる。 ベランダの朝顔が蕾をつけた。 "
    "急な坂道ではブレーキを早めに踏もう。 賛成多数で可決されました。 靴紐がほどけていますよ。 "
    "曾孫の名前を何と読むのかしら？ 画面の右上にある歯車の印を押してください。 昼寝のつもりが、起きたら夜だった！ "
    "どちらかと言えば、僕は反対かな。"
).split()


class Texts:
    def __init__(self, seed, invented=0.35):
        """`invented`: share of things that are invented katakana words."""
        self.random, self.invented = random.Random(seed), invented

    def sentence(self):
        body = self._pick(self._doing, self._doing, self._doing, self._amount, self._names, self._happening,
                          self._sequence, self._quality, self._quoted, self._reason)()
        if self._chance(0.15):
            body = self._one(LINKS) + body
        if body.endswith("か"):
            return body + self._one(["。", "？", "？", "？"])
        return body + self._one(["。", "。", "。", "。", "。", "！", "？", "", "よ。", "ね。", "…", "？！"])

    def _doing(self):
        parts = []
        if self._chance(0.5):
            parts.append(self._one(TIMES) + self._one(["", "は", "、", "も"]))
        if self._chance(0.8):
            parts.append(self._one(PEOPLE) + self._one(["は", "が", "も", "と", "には"]))
        if self._chance(0.6):
            parts.append(self._one(PLACES) + self._one(["で", "に", "へ行って", "から", "まで", "の近くで"]))
        parts.append(self._thing() + self._one(["を", "を", "を", "も", "だけ", "より先に" + self._thing() + "を"]))
        if self._chance(0.25):
            parts.append(self._one(MANNERS))
        return "".join(parts) + self._one(ACTS)

    def _amount(self):
        end = self._one(["です", "でした", "かかります", "になりました", "くらいだと思います", "も要りますか", "しかない"])
        return f"{self._one(PLACES)}の{self._thing()}は、{self._one(NUMBERS)}{self._one(COUNTERS)}{end}"

    def _names(self):
        names = "、".join(self._name() for _ in range(self.random.randint(1, 3)))
        return names + self._one(["です", "と言いました", "が好きです", "という名前だ", "はどこですか", "", "も来るらしい"])

    def _happening(self):
        manner = self._one(MANNERS) if self._chance(0.6) else ""
        return self._thing() + self._one(["が", "が", "は", "なら", "まで"]) + manner + self._one(HAPPENINGS)

    def _sequence(self):
        first = self._one(["買って", "持って", "見て", "食べながら", "忘れて", "抱えたまま", "売った後", "作ろうとしたが"])
        then = self._one(["へ行った", "で休みました", "から帰ってきました", "に着いた", "を通り過ぎた", "まで走ろう"])
        return f"{self._one(PEOPLE)}は{self._thing()}を{first}、{self._one(PLACES)}{then}"

    def _quality(self):
        what = self._pick(lambda: self._one(PLACES), self._thing, lambda: self._one(PEOPLE), lambda: self._one(TIMES))()
        end = self._one(["です", "ですか", "だと思った", "そうですね", "らしい", "でしょう", "かもしれない"])
        return what + self._one(["は", "が", "も", "って"]) + self._one(["", "とても", "あまりに", "わりと"]) + self._one(ADJECTIVES) + end

    def _quoted(self):
        said = self._pick(self._happening, self._quality)()
        return f"{self._one(PEOPLE)}が「{said}」と{self._one(['言った', '答えました', '叫んだ', '書いている', '聞いたの'])}"

    def _reason(self):
        return self._happening() + self._one(["ので、", "から、", "けれど、", "のに、"]) + self._pick(self._quality, self._happening)()

    def _thing(self):
        word = self._name() if self._chance(self.invented) else self._one(THINGS)
        return (self._one(QUALITIES) if self._chance(0.3) else "") + word

    def _name(self):
        count, word = self.random.randint(2, 5), ""
        for place in range(count):
            word += self._one(MORAE)
            if self._chance(0.12):
                word += "ー"
            elif self._chance(0.08) and place < count - 1:
                word += "ッ"
            elif self._chance(0.10):
                word += "ン"
        return word

    def _one(self, words):
        return self.random.choice(words)

    def _pick(self, *makers):
        return self.random.choice(makers)

    def _chance(self, share):
        return self.random.random() < share
