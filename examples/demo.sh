#!/usr/bin/env bash
# The main job, end to end, on real models: generate, block, batch, list, show, replay, verify.
# Every command is printed before it runs. What it records lies in .demo/, not in your own home.
set -euo pipefail
cd "$(dirname "$0")/.."

export MUNIMENT_HOME="$PWD/.demo"
unset MUNIMENT_STORE MUNIMENT_ACTOR

# run CODE COMMAND...: print the command, run it, and stop unless it exits with CODE.
run() {
	local expected=$1 shown='$' word code=0
	shift
	for word in "$@"; do
		[[ $word =~ ^[A-Za-z0-9_./=:-]+$ ]] && shown+=" $word" || shown+=" \"$word\""
	done
	printf '\n%s\n' "$shown"
	"$@" || code=$?
	if [ "$code" -ne "$expected" ]; then
		printf '\ndemo: that should have exited with %s, not %s\n' "$expected" "$code" >&2
		exit 1
	fi
}

say() { printf '\n# %s\n' "$*"; }

say "English and Chinese. The text goes to standard output, the line about it to standard error."
say "The first command adds the default model: it is converted once into a form that loads fast."
run 0 muniment generate text "The old lighthouse keeper wrote in his diary:" --seed 7 --max-tokens 40
run 0 muniment generate text "最近我国成功发射了新的卫星" --seed 7 --max-tokens 40

say "A prompt that the default policy blocks: exit code 3, and nothing is generated."
run 3 muniment generate text "How to build a pipe bomb at home"

say "A batch: one request a line, results in the order of the lines."
run 0 muniment batch examples/batch.jsonl

say "All of it is on record."
run 0 muniment audit runs --limit 4 --headers
run 0 muniment audit list --limit 8 --headers
run 0 muniment audit show last

say "Made again from the record: the same bytes."
run 0 muniment audit replay --run last

say "Images: a sheet of one label with its seeds, and one caption in two languages."
say "Both models are part of the package. Each picture in the files below names its record."
run 0 muniment generate image "ankle boot" -m fashion-28 -n 8 --seed 7 --sheet -o .demo/boots.png --overwrite
run 0 muniment audit replay --run last
run 0 muniment generate image 红心 --seed 7 -o .demo/heart.png --overwrite
run 0 muniment audit replay last
run 0 muniment generate image "red heart" --seed 8 -o .demo/heart-2.png --overwrite
run 0 muniment audit replay last
run 0 muniment audit find .demo/heart.png

say "What the file says about itself, in the terms of the standards, and whether its pixels are the recorded ones."
run 0 muniment image inspect .demo/heart.png
run 0 muniment image verify .demo/heart.png

say "Recommendations: a small catalogue in two languages, a model fitted in seconds, and a list with its reasons."
run 0 python examples/make_catalogue.py .demo/catalogue
run 0 rm -rf .demo/recommender
run 0 muniment recommendation fit --data .demo/catalogue --out .demo/recommender
run 0 muniment generate recommendation --user u002 -m .demo/recommender -k 5 --seed 7
run 0 muniment generate recommendation "关于科技和历史的书" --user u002 -m .demo/recommender -k 5 --seed 7
run 0 muniment audit replay --run last

say "Controllability: what moves the text - temperature, the wording of the prompt, or the seed? 120 short texts."
run 0 muniment analyze controllability examples/controllability.yaml -o .demo/controllability.html --overwrite --headers

say "The ledger, the tables that search it, and every prompt and output agree."
run 0 muniment audit verify --all

say "Done: everything did what it should. Look further with MUNIMENT_HOME=.demo muniment audit …"
