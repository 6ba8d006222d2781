//! Kanji in the forms of today: pairs of old and new, which are facts of the
//! reform of 1946, and forms of names.

use alloc::string::String;

use normalizer::draft::{Edit, Place};

/// An old form and its new one, and so on.
const PAIRS: &str = "𠮟叱亞亜惡悪壓圧圍囲醫医爲為壹壱隱隠榮栄營営衞衛驛駅圓円緣縁艷艶應応歐欧毆殴櫻桜奧奥橫横溫温穩穏假仮價価畫画會会壞壊懷懐繪絵槪概擴拡殼殻覺覚學学嶽岳樂楽渴渇鐮鎌勸勧卷巻寬寛歡歓罐缶觀観閒間關関陷陥巖巌顏顔歸帰氣気龜亀僞偽戲戯犧犠舊旧據拠擧挙峽峡挾挟狹狭鄕郷曉暁區区驅駆勳勲薰薫徑径惠恵溪渓經経繼継莖茎螢蛍輕軽鷄鶏藝芸缺欠儉倹劍剣圈圏檢検權権獻献縣県險険顯顕驗験嚴厳效効廣広恆恒鑛鉱號号國国黑黒濟済碎砕齋斎劑剤册冊雜雑產産參参慘惨棧桟蠶蚕贊賛殘残絲糸齒歯兒児辭辞濕湿實実舍舎寫写釋釈壽寿收収從従澁渋獸獣縱縦肅粛處処緖緒敍叙奬奨將将牀床涉渉燒焼稱称證証乘乗剩剰壤壌孃嬢條条淨浄狀状疊畳穰穣讓譲釀醸囑嘱觸触寢寝愼慎眞真盡尽圖図粹粋醉酔隨随髓髄數数樞枢聲声靜静齊斉攝摂竊窃專専戰戦淺浅潛潜纖繊踐践錢銭禪禅雙双壯壮搜捜插挿爭争總総聰聡莊荘裝装騷騒臟臓藏蔵屬属續続墮堕體体對対帶帯滯滞臺台瀧滝擇択澤沢單単擔担膽胆團団彈弾斷断癡痴遲遅晝昼蟲虫鑄鋳廳庁聽聴敕勅鎭鎮遞逓鐵鉄轉転點点傳伝黨党盜盗燈灯當当鬪闘德徳獨独讀読屆届貳弐惱悩腦脳霸覇廢廃拜拝賣売麥麦發発髮髪拔抜蠻蛮祕秘濱浜甁瓶拂払佛仏變変邊辺邉辺辨弁瓣弁辯弁寶宝萠萌豐豊襃褒沒没飜翻每毎萬万滿満默黙譯訳藥薬與与豫予餘余搖揺樣様謠謡來来賴頼亂乱覽覧兩両獵猟綠緑鄰隣淚涙壘塁勵励禮礼隸隷靈霊齡齢曆暦歷歴戀恋爐炉勞労樓楼郞郎亙亘灣湾彌弥鹽塩堯尭槇槙遙遥瑤瑶靑青黃黄淸清飮飲鷗鴎麴麹頰頬嚙噛囊嚢屢屡剝剥塡填彎弯攪撹曾曽步歩稅税脫脱說説悅悦銳鋭閱閲內内吳呉娛娯卽即旣既虛虚戾戻增増吿告𠮷吉髙高﨑崎嵜崎桒桑栁柳瀨瀬濵浜冨富曻昇﨟臈寉鶴兔兎昻昂龝秋棊棋峯峰嶋島嶌島埜野槗橋舘館壻婿絕絶繫繋祿禄";

/// The form of today, if this one is another.
fn today(c: char) -> Option<char> {
    let mut characters = PAIRS.chars();
    while let (Some(old), Some(new)) = (characters.next(), characters.next()) {
        if old == c && new != c {
            return Some(new);
        }
    }
    None
}

pub(crate) fn read(place: &Place<'_>) -> Option<Edit> {
    let c = place.next(0)?;
    if !normalizer::characters::is_kanji(c) {
        return None;
    }
    today(c).map(|new| Edit::new(1, String::from(new)))
}
