"""Twenty Chinese wishes and some English ones: which items must come, and which must not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from muniment_recommendation.data.catalogue import CatalogueItem
from muniment_recommendation.lists.list_maker import ListMaker
from muniment_recommendation.ranking.document import RankedItem
from muniment_recommendation.requests.parameters import WISH_WEIGHT
from muniment_recommendation.requests.query import ListOptions, Query
from muniment_recommendation.text.index import TextIndex, item_text
from support.catalogue import catalogue, interactions, model

# A wish, titles that must be among its first five items, and tags that none of them may have.
CHINESE = [
    ("关于科技和历史的书", "电报的历史 计算机的历史 印刷术的历史", "电影 课程"),
    ("我喜欢阅读关于科技和历史的文章", "电报的历史 计算机的历史 印刷术的历史", "战争 爱情"),
    ("安静的海边电影", "隐秘的海岛 欢乐的港湾", "太空 战争 课程"),
    ("关于大海的安静电影", "温柔的沉船 寂静的灯塔", "惊险 战争"),
    ("适合孩子的冒险故事", "热气球与洞穴 海盗往事 神奇的丛林", "战争 爱情"),
    ("想看一部惊险的悬疑电影", "隐秘的夜行列车 隐秘的夜行列车·续集", "幽默 爱情"),
    ("推荐一些幽默的动物电影", "欢乐的猫 意外的仙鹤 欢乐的猫·续集", "感人 战争"),
    ("关于太空的课程", "彗星十讲 恒星十讲 行星十讲", "电影"),
    ("有没有美食方面的课程？", "面馆十讲 面包店十讲 厨房十讲", "战争 太空"),
    ("感人的爱情小说", "雨伞往事", "惊险 幽默 战争"),
    ("经典的战争书籍", "孙子兵法", "电影 课程"),
    ("有关音乐的电影，最好安静一点", "寂静的乐团 寂静的乐团·续集", "惊险 战争"),
    ("丝绸之路上的商队", "被遗忘的商队 商队与城墙 商队十讲", ""),
    ("机器人", "隐秘的机器人 机器人十讲 罗素姆万能机器人", "大海"),
    ("关于猫的书", "猫与熊猫", "大海 太空 课程"),
    ("茶馆里的故事", "面馆与茶馆 茶馆往事", "太空 战争"),
    ("计算机的历史", "计算机的历史", "大海 战争"),
    ("冒险电影，不要海盗", "最后的洞穴 隐秘的热气球", "课程 书"),
    ("没有战争的历史书", "宫殿的历史 城墙的历史", "战争 电影"),
    ("雪地里的狐狸", "温柔的狐狸 狐狸与仙鹤", "太空"),
    ("ＡＩ和机器人的课程", "机器人十讲", "爱情 战争"),
    ("請推薦關於太空的課程", "从地球到月球 彗星十讲", "战争 爱情"),
]
ENGLISH = [
    ("quiet films about the sea", "温柔的沉船 寂静的灯塔", "战争 惊险"),
    ("books about the history of computers", "计算机的历史", "战争"),
    ("funny animal stories", "欢乐的猫 意外的仙鹤", "感人"),
    ("films about war", "寂静的要塞", "爱情"),
    ("adventure films, no pirates", "最后的洞穴", "课程 书"),
    ("Something about ROBOTS, please!", "隐秘的机器人 机器人十讲", "战争"),
]


@cache
def index() -> TextIndex:
    return TextIndex.fit([item_text(item) for item in catalogue().items])


def first_five(wish: str) -> list[CatalogueItem]:
    similarities = np.round(index().similarities(index().query(wish)), 6)
    order = np.argsort(-similarities, kind="stable")
    return [catalogue().items[number] for number in order[:5]]


@pytest.mark.parametrize(("wish", "titles", "unwanted"), CHINESE + ENGLISH)
def test_wish_finds_the_items_it_names(wish: str, titles: str, unwanted: str) -> None:
    items = first_five(wish)
    first = [item.title.split(" · ", 1)[1] for item in items]
    assert not set(titles.split()) - set(first), first
    tags = {tag for item in items for tag in item.tags}
    assert not tags & set(unwanted.split()), first


@cache
def lists() -> ListMaker:
    return ListMaker(model())


def recommended(wish: str, history: np.ndarray, **options: float) -> list[RankedItem]:
    """The first five items of a list. Seen items are not excluded, so that all can come."""
    nothing = np.zeros(len(catalogue()), dtype=bool)
    choices = ListOptions(k=5, exclude_seen=False, **options)  # type: ignore[arg-type]
    return list(lists().ranking(Query(history, wish, nothing), choices).items[:5])


@pytest.mark.parametrize(("wish", "titles", "unwanted"), CHINESE + ENGLISH)
def test_fitted_model_answers_a_wish_as_the_texts_do(wish: str, titles: str, unwanted: str) -> None:
    items = recommended(wish, np.array([], np.int32))
    assert [item.item for item in items] == [item.id for item in first_five(wish)]


@pytest.mark.parametrize("user", range(0, 200, 40))
@pytest.mark.parametrize(
    "wish", ["关于科技和历史的书", "安静的海边电影", "quiet films about the sea"]
)
def test_wish_moves_its_items_up_in_the_list_of_a_user(wish: str, user: int) -> None:
    history = interactions().history(user)
    wished = {item.id for item in first_five(wish)}
    counts = [
        len(wished & {item.item for item in recommended(wish, history, wish_weight=weight)})
        for weight in (0.0, WISH_WEIGHT)
    ]
    assert counts[0] < counts[1] >= 3, counts
    (first, *_) = recommended(wish, history, wish_weight=WISH_WEIGHT)
    assert [part.value > 0 for part in first.contributions if part.source == "prompt"] == [True]
