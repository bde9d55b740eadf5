"""Write a small catalogue in English and Chinese with interactions: make_catalogue.py FOLDER.

`items.csv` has 300 books, films and courses about 12 subjects. `interactions.csv` has what 200
users took, in time: each has two favourite themes and a favourite mood, and reads sequels in
order. Equal seeds give equal files. The works are invented, apart from 12 classics.
"""

from __future__ import annotations

import argparse
import csv
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

# A theme with its classic, and its six subjects: noun and plot in both languages.
THEMES = """
sea|大海|Moby-Dick|白鲸
lighthouse|灯塔|守塔人照看一盏没有船经过的灯|a watchman tends a lamp that no ship has passed
harbour|港湾|渔船归来，三代人在海边码头重逢|three generations meet when the boats return
island|海岛|画家在海边的小屋里度过整个冬天|a painter spends a whole winter in a cabin by the shore
tide|潮汐|每天退潮以后，沙滩上都有一封信|every day a letter lies on the beach when the water falls
whale|鲸鱼|一艘小船跟着鲸鱼的歌声驶向北方|a small boat follows the song of the whales to the north
shipwreck|沉船|潜水员在海底发现一只上锁的箱子|a diver finds a locked chest on the sea floor

space|太空|From the Earth to the Moon|从地球到月球
comet|彗星|两个朋友等待七十六年后的同一颗彗星|two friends wait seventy-six years for the same comet
rocket|火箭|工程师们在沙漠里造出第一枚火箭|engineers build their first rocket in the desert
star|恒星|天文台收到一颗遥远恒星的信号|an observatory receives a signal from a distant star
moon base|月球基地|宇航员在月球上种出第一朵花|an astronaut grows the first flower on the moon
planet|行星|探险队在陌生的行星上寻找水源|an expedition looks for water on an unknown planet
satellite|卫星|一颗失去联系的卫星突然开始说话|a satellite that was lost begins to send again

technology|科技|R.U.R.|罗素姆万能机器人
robot|机器人|修理工收留了一台不愿关机的机器人|a repairman takes in a robot that stays awake
printing press|印刷术|工匠用活字改变知识的传播|a craftsman spreads knowledge with movable type
algorithm|算法|程序员的算法会犯可爱的错误|the algorithm of a programmer makes charming mistakes
computer|计算机|程序员在地下室里计算星空|the first programmers compute the night sky
steam engine|蒸汽机|铁匠的女儿造出第一台发动机|the daughter of a smith builds her first engine
telegraph|电报|一根电线第一次连接了两座城市|a single wire connects two cities for the first time

history|历史|Records of the Grand Historian|史记
caravan|商队|一支商队沿着丝绸之路走了三年|a caravan travels the Silk Road for three years
city wall|城墙|石匠们用一生修建古代的城墙|masons spend their lives on an ancient wall
emperor|皇帝|年轻的皇帝微服走进集市|a young emperor walks through the market in plain clothes
palace|宫殿|档案员在旧宫殿里找到失传的日记|an archivist finds a lost diary in the old palace
bronze bell|青铜钟|考古学家让古老的钟再次响起|archaeologists ring a bell that was silent for ages
old map|古地图|一张错误的地图改变了一个王朝|a wrong map changes the course of a dynasty

nature|自然|Walden|瓦尔登湖
forest|森林|护林员记录一片森林的四季|a ranger writes down the four seasons of a forest
river|河流|一家人乘木筏从源头漂到平原|a family drifts on a raft from the spring to the plain
mountain|高山|老人每天清晨登上同一座山|an old man climbs the same mountain every morning
glacier|冰川|科学家在冰川上度过最后一个夏天|scientists spend a last summer on a melting glacier
bamboo grove|竹林|微风吹过竹林，客人不肯离开|wind moves through the bamboo and a guest stays on
orchard|果园|姐妹俩接手祖父荒废的果园|two sisters take over the neglected family orchard

mystery|悬疑|The Adventures of Sherlock Holmes|福尔摩斯探案集
detective|侦探|退休的侦探接到一个来自过去的电话|a retired detective receives a call from the past
locked room|密室|门从里面锁着，房间里空无一人|the door is locked from inside and the room is empty
night train|夜行列车|列车上少了一位乘客|before dawn one passenger is missing from the train
cipher|密码|报纸上的棋谱藏着一段密码|a chess column in the newspaper hides a cipher
mansion|古宅|暴风雨之夜，古宅的钟停了|on a stormy night the clock of the mansion stops
stolen portrait|失窃的画像|画像失窃，人人都有秘密|after the theft everyone has a secret

love|爱情|Pride and Prejudice|傲慢与偏见
love letter|情书|邮差送到一封迟了三十年的情书|a postman delivers a love letter thirty years late
wedding|婚礼|婚礼前一天，新娘遇见旧同学|a day before her wedding a bride meets a classmate
neighbour|邻居|隔着一道墙，两个人用琴声交谈|two people talk through a wall by playing tunes
umbrella|雨伞|雨天，两个陌生人拿错了伞|on a rainy day two strangers take the wrong umbrellas
pen friend|笔友|通信十年的笔友第一次见面|two pen friends meet after ten years of letters
dance|舞会|最后一支舞曲响起时，她终于开口|she speaks at last when the final dance begins

food|美食|Recipes from the Garden of Contentment|随园食单
noodle shop|面馆|深夜的面馆里，每碗面都有故事|at night every bowl of noodles has a story
teahouse|茶馆|伙计记得每位客人的口味|the waiter of a teahouse remembers the taste of every guest
bakery|面包店|面包师用失传的配方参加比赛|a baker enters a contest with a lost recipe
spice|香料|一袋香料走过了半个世界|a bag of spice travels half the world
kitchen|厨房|祖母的厨房里藏着全家的菜谱|the family recipes are hidden in an old kitchen
night market|夜市|摊主们合力挽救快要关闭的夜市|the cooks of a night market save it from closing

music|音乐|The Phantom of the Opera|歌剧魅影
piano|钢琴|调音师走遍全国寻找一架旧钢琴|a tuner crosses the country to find an old piano
violin|小提琴|学徒用十年做出一把小提琴|an apprentice works ten years on one violin
orchestra|乐团|业余乐团要学会一部交响曲|an amateur orchestra has a week to learn a symphony
folk song|民歌|学者在山村收集将要消失的民歌|a scholar collects the last songs of a village
jazz band|爵士乐队|五个邮递员组成了一支爵士乐队|five postmen form a jazz band
opera house|戏院|旧戏院的最后一场演出座无虚席|the last performance of an old opera house is sold out

war|战争|The Art of War|孙子兵法
soldier|士兵|两个敌对的士兵在雪夜分享一块面包|two enemy soldiers share a loaf on a night of snow
fortress|要塞|守军只剩七天的粮食|the defenders of a fortress have food for seven days
field hospital|战地医院|护士写下每个伤员的名字|a nurse writes down the name of every wounded man
siege|围城|围城的冬天，图书馆仍然开门|in the winter of a siege the library stays open
submarine|潜艇|潜艇在敌方海域失去了动力|a submarine loses its power in enemy waters
peace treaty|和约|翻译用一个词避免了一场战争|an interpreter prevents a war with a single word

adventure|冒险|Journey to the West|西游记
treasure|宝藏|半张藏宝图把两个对手带到一起|half of a treasure map brings two rivals together
desert|沙漠|旅行者跟着一只骆驼穿过沙漠|a traveller crosses the desert behind a single camel
balloon|热气球|三个孩子乘热气球飞过群山|three children fly over the mountains in a balloon
cave|洞穴|探险者在洞穴里找到地下的湖|explorers find an underground lake in a cave
jungle|丛林|植物学家在丛林里寻找会发光的花|a botanist looks for a glowing flower in the jungle
pirate|海盗|厨师无意中成了海盗船长|a cook becomes the captain of the pirates by mistake

animals|动物|The Call of the Wild|野性的呼唤
cat|猫|书店的猫替客人挑选书|the cat of a bookshop chooses books for the customers
panda|熊猫|饲养员陪一只小熊猫回到山里|a ranger walks a young panda back to the hills
elephant|大象|大象一家走了很远寻找家园|a family of elephants walks five hundred kilometres
stray dog|流浪狗|一只流浪狗每天等在车站|a stray dog waits at the station every day
fox|狐狸|雪地里的狐狸带猎人走出森林|a fox leads a hunter out of the snow
crane|仙鹤|村民们等待仙鹤在春天归来|villagers wait for the cranes to come back in spring
""".strip()

# A mood: its tags, its Chinese phrase, and two adjectives of titles.
MOODS = (
    ("quiet", "安静", "安静的", ("Silent", "寂静的"), ("Gentle", "温柔的")),
    ("funny", "幽默", "幽默的", ("Merry", "欢乐的"), ("Accidental", "意外的")),
    ("thrilling", "惊险", "惊险的", ("Hidden", "隐秘的"), ("Dangerous", "危险的")),
    ("moving", "感人", "感人的", ("Forgotten", "被遗忘的"), ("Last", "最后的")),
    ("children", "儿童", "适合孩子的", ("Little", "小小的"), ("Magic", "神奇的")),
    ("classic", "经典", "经典的"),
)
CLASSIC = 5
KINDS = {"book": ("一本", "书"), "film": ("一部", "电影"), "course": ("一门", "课程")}
HOUR = 3600
FIRST_DAY = 1_672_531_200  # 2023-01-01


class Item(NamedTuple):
    """A row of `items.csv`, and the facts that make users take it."""

    id: str
    title: str
    text: str
    tags: tuple[str, ...]
    theme: str
    mood: str
    sequel_of: str | None = None


def make_items() -> list[Item]:
    """Return the items: for each theme a classic and four works on each subject."""
    items = []
    for number, block in enumerate(THEMES.split("\n\n")):
        head, *lines = block.split("\n")
        theme, theme_zh, *classic = head.split("|")
        themes = (theme, theme_zh)
        items.append(make_item(themes, "book", CLASSIC, classic, ("widely read", "代代相传")))
        subjects = [line.split("|") for line in lines]
        for place, (noun, noun_zh, plot_zh, plot) in enumerate(subjects):
            mood, plots = (place + number) % 5, (plot, plot_zh)
            adjective, adjective_zh = MOODS[mood][3 + place // 3]
            titles = (f"The {adjective} {noun}", adjective_zh + noun_zh)
            items.append(make_item(themes, "film", mood, titles, plots))
            if place % 2 == 0:
                items.append(make_sequel(items[-1], (f"{titles[0]} II", f"{titles[1]}·续集")))
                other, other_zh, *_ = subjects[place + 1]
                titles = (f"The {noun} and the {other}", f"{noun_zh}与{other_zh}")
                items.append(make_item(themes, "book", (mood + 2) % 5, titles, plots))
                titles = (f"The {noun} in Ten Lessons", f"{noun_zh}十讲")
                plots = (f"all about the {noun}", f"用十节课讲清楚{noun_zh}")
                items.append(make_item(themes, "course", (mood + 3) % 5, titles, plots))
            else:
                titles = (f"Tales of the {noun}", f"{noun_zh}往事")
                items.append(make_item(themes, "book", (mood + 4) % 5, titles, plots))
                items.append(
                    make_sequel(items[-1], (f"More Tales of the {noun}", f"{noun_zh}往事·续编"))
                )
                titles = (f"A History of the {noun}", f"{noun_zh}的历史")
                plots = (f"the history of the {noun}", f"{noun_zh}的来龙去脉")
                history = make_item(themes, "book", (mood + 1) % 5, titles, plots)
                tags = dict.fromkeys((*history.tags, "history", "历史"))
                items.append(history._replace(tags=tuple(tags)))
    return items


def make_item(
    theme: tuple[str, str], kind: str, mood: int, titles: Sequence[str], plots: tuple[str, str]
) -> Item:
    """Return a work. Each pair has an English and a Chinese text."""
    name, name_zh, phrase_zh, *_ = MOODS[mood]
    measure, kind_zh = KINDS[kind]
    about = f"{kind} about {'the ' if theme[0] == 'sea' else ''}{theme[0]}"
    about = f"A {about} for children" if name == "children" else f"A {name} {about}"
    text = f"{about}: {plots[0]}. {measure}关于{theme[1]}的{phrase_zh}{kind_zh}：{plots[1]}。"
    tags = (*theme, name, name_zh, kind, kind_zh)
    return Item(identifier(titles), title(titles), text, tags, theme[0], name)


def make_sequel(first: Item, titles: Sequence[str]) -> Item:
    """Return the second part of a work."""
    text = first.text.replace(": ", ", part two: ").replace("：", "，第二部：")
    return first._replace(id=identifier(titles), title=title(titles), text=text, sequel_of=first.id)


def identifier(titles: Sequence[str]) -> str:
    return "-".join(re.findall(r"[a-z]+", titles[0].lower()))


def title(titles: Sequence[str]) -> str:
    words = (w if w in ("of", "the", "and", "in", "to", "from") else w[0].upper() + w[1:]
             for w in titles[0].split())  # fmt: skip
    english = " ".join(words)
    return f"{english[0].upper()}{english[1:]} · {titles[1]}"


def make_interactions(items: list[Item], users: int, seed: int) -> list[tuple[str, str, int]]:
    """Return rows of user, item and seconds since 1970, of each user in the order of time."""
    rng = random.Random(seed)
    ranks = rng.sample(range(len(items)), len(items))
    popularity = {item.id: (rank + 5) ** -0.8 for item, rank in zip(items, ranks, strict=True)}
    sequels = {item.sequel_of: item for item in items if item.sequel_of}
    themes = sorted({item.theme for item in items})
    rows = []
    for number in range(1, users + 1):
        favourites = rng.sample(themes, 2)
        theme, mood = favourites[0], rng.choice(MOODS)[0]
        time = FIRST_DAY + rng.randrange(300 * 24) * HOUR
        taken: dict[str | None, Item] = {}
        chosen: Item | None = None
        for _ in range(min(60, 8 + int(rng.expovariate(1 / 16)))):
            chosen = sequels.get(chosen.id) if chosen else None
            if chosen is None or rng.random() > 0.5:
                if rng.random() > 0.6:
                    theme = rng.choice([*favourites * 3, rng.choice(themes)])
                free = [i for i in items if i.id not in taken]
                free = [i for i in free if i.sequel_of is None or i.sequel_of in taken]
                tastes = [60 ** (i.theme == theme) * 4 ** (i.mood == mood) for i in free]
                weights = [popularity[i.id] * taste for i, taste in zip(free, tastes, strict=True)]
                chosen = rng.choices(free, weights)[0]
            taken[chosen.id] = chosen
            rows.append((f"u{number:03}", chosen.id, time))
            time += rng.randrange(6, 96) * HOUR
    return rows


def write(folder: Path, users: int = 200, seed: int = 7) -> None:
    """Write both tables into a folder, which is made if it is missing."""
    items = make_items()
    folder.mkdir(parents=True, exist_ok=True)
    table = [(i.id, i.title, i.text, "|".join(i.tags)) for i in items]
    write_table(folder / "items.csv", "item,title,text,tags", table)
    rows = make_interactions(items, users, seed)
    write_table(folder / "interactions.csv", "user,item,timestamp", rows)


def write_table(path: Path, header: str, rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a small catalogue with interactions.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    write(options.folder, options.users, options.seed)


if __name__ == "__main__":
    main()
