"""The words of the simulated world: places, topics, and a vocabulary for each of six languages."""

from dataclasses import dataclass

TOPICS = ("food", "fitness", "travel", "tech", "comedy", "music", "fashion", "pets")
CONCEPTS = ("secret", "how_to", "gift", "story", "routine", "advert")

EMOJI = ("😂", "🔥", "❤️", "😍", "✨", "👀", "🙌", "😭", "💪", "🎉")
COMMON_TAGS = ("fyp", "viral", "foryou", "reels", "shorts", "explore", "trending", "love")
FRIENDS = ("sim_anna", "sim_ben", "sim_carla", "sim_dev", "sim_emi", "sim_fox")
TREND_FIRST = ("slow", "quiet", "tiny", "golden", "lazy", "midnight", "honest", "backwards", "neon", "paper")
TREND_SECOND = ("kitchen", "walk", "dance", "desk", "sunday", "mirror", "outfit", "train", "garden", "toast")


@dataclass(frozen=True)
class Place:
    """Where an account is: its language, country and time zone, and its share of the accounts."""

    language: str
    country: str
    offset_hours: float
    share: float


@dataclass(frozen=True)
class Vocabulary:
    """Words of one language; `topics` and `concepts` follow `TOPICS` and `CONCEPTS`."""

    common: tuple[str, ...]
    topics: tuple[tuple[str, ...], ...]
    concepts: tuple[str, ...]
    joint: str = " "


# English is the plurality, not the majority [McGrady 2023]; the shares themselves are assumptions.
PLACES = (
    Place("en", "US", -6.0, 0.24),
    Place("en", "GB", 0.0, 0.10),
    Place("en", "IN", 5.5, 0.08),
    Place("es", "MX", -6.0, 0.12),
    Place("es", "ES", 1.0, 0.07),
    Place("pt", "BR", -3.0, 0.14),
    Place("de", "DE", 1.0, 0.09),
    Place("fr", "FR", 1.0, 0.08),
    Place("ja", "JP", 9.0, 0.08),
)


def _words(text: str) -> tuple[str, ...]:
    """Read words that stand apart by blanks."""
    return tuple(text.split())


def _lists(*lines: str) -> tuple[tuple[str, ...], ...]:
    """Read one list of words from each line."""
    return tuple(_words(line) for line in lines)


VOCABULARIES = {
    "en": Vocabulary(
        common=_words(
            "the and you for with this that my what how when all just to of is so we it today never always really"
        ),
        topics=_lists(
            "pasta recipe dinner sauce kitchen bread",
            "workout gym run squat morning legs",
            "beach flight city map hotel train",
            "phone laptop code setup screen update",
            "joke boss friends office prank mum",
            "song guitar beat voice stage cover",
            "outfit dress shoes thrift style colour",
            "dog cat puppy rescue vet kitten",
        ),
        concepts=(
            "the secret nobody tells you",
            "how to do it in 3 steps",
            "giveaway today",
            "story time",
            "my daily routine",
            "paid partnership",
        ),
    ),
    "es": Vocabulary(
        common=_words(
            "el la los una por para con que del cómo está más pero esta muy mi tu qué y de en hoy nunca siempre"
        ),
        topics=_lists(
            "receta cena salsa cocina pan arroz",
            "gimnasio correr piernas rutina fuerza",
            "playa vuelo ciudad mapa hotel tren",
            "móvil portátil código pantalla teclado",
            "chiste jefe amigos oficina broma",
            "canción guitarra ritmo voz escenario",
            "vestido zapatos estilo color ropa",
            "perro gato cachorro rescate gatito",
        ),
        concepts=(
            "el secreto que nadie cuenta",
            "cómo hacerlo en 3 pasos",
            "sorteo hoy",
            "te cuento mi historia",
            "mi rutina diaria",
            "colaboración pagada",
        ),
    ),
    "pt": Vocabulary(
        common=_words(
            "o os uma por para com que não do da você mais mas isso muito meu é em hoje nunca sempre a gente"
        ),
        topics=_lists(
            "receita jantar molho cozinha pão arroz",
            "academia corrida perna treino força",
            "praia voo cidade mapa hotel trem",
            "celular notebook código tela teclado",
            "piada chefe amigos escritório pegadinha",
            "música violão ritmo voz palco",
            "vestido sapato estilo cor roupa",
            "cachorro gato filhote resgate gatinho",
        ),
        concepts=(
            "o segredo que ninguém conta",
            "como fazer em 3 passos",
            "sorteio hoje",
            "hora da história",
            "minha rotina",
            "parceria paga",
        ),
    ),
    "de": Vocabulary(
        common=_words(
            "der die das und ich nicht ist mit ein eine auf für wir du es von zu mein wie im heute nie immer"
        ),
        topics=_lists(
            "Rezept Nudeln Soße Küche Brot",
            "Training Laufen Beine Kraft Morgen",
            "Strand Flug Stadt Karte Hotel Zug",
            "Handy Laptop Code Bildschirm Tastatur",
            "Witz Chef Freunde Büro Streich",
            "Lied Gitarre Takt Stimme Bühne",
            "Kleid Schuhe Stil Farbe Mode",
            "Hund Katze Welpe Tierheim Kätzchen",
        ),
        concepts=(
            "das Geheimnis verrät dir keiner",
            "so geht es in 3 Schritten",
            "Gewinnspiel heute",
            "Zeit für eine Geschichte",
            "mein Alltag",
            "bezahlte Werbung",
        ),
    ),
    "fr": Vocabulary(
        common=_words(
            "le les une des pour avec que est pas dans vous je c'est sur mon et la de du un qui aujourd'hui jamais"
        ),
        topics=_lists(
            "recette dîner sauce cuisine pain",
            "sport course jambes force matin",
            "plage vol ville carte hôtel train",
            "téléphone ordinateur code écran clavier",
            "blague patron amis bureau canular",
            "chanson guitare rythme voix scène",
            "robe chaussures style couleur mode",
            "chien chat chiot refuge chaton",
        ),
        concepts=(
            "le secret que personne ne dit",
            "comment faire en 3 étapes",
            "concours aujourd'hui",
            "je vous raconte",
            "ma routine",
            "collaboration commerciale",
        ),
    ),
    "ja": Vocabulary(
        common=_words("今日 は これ が とても の で も また みんな ね です 本当に いつも"),
        topics=_lists(
            "料理 夕食 パン 台所",
            "筋トレ 朝 ランニング",
            "旅行 海 電車 ホテル",
            "スマホ パソコン 画面",
            "お笑い 友達 上司",
            "歌 ギター 声",
            "服 靴 コーデ",
            "犬 猫 子猫",
        ),
        concepts=(
            "誰も言わない秘密",
            "3つの手順でやり方",
            "プレゼント企画",
            "聞いてほしい話",
            "いつもの日課",
            "広告",
        ),
        joint="",
    ),
}
