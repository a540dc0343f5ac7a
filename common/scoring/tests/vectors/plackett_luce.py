"""Writes plackett_luce.txt: matches rated by PyPI's openskill, as test vectors for `ratings`.

    pip install openskill==6.2.0
    python plackett_luce.py > plackett_luce.txt

Each match is a line `match <players>`, then a line per player: mu and sigma before, place, mu and sigma after. The
first part is one league of 12 players in 40 matches, so that differences add up. The second part is 40 matches of 2
to 20 players with ratings of all sizes. Numbers have the fewest digits from which Python reads the same number.
"""

import random

from openskill.models import PlackettLuce

model = PlackettLuce(beta=7.0, tau=0.1)
random.seed(6)


def play(ratings, places):
    teams = [[model.create_rating([mu, sigma])] for mu, sigma in ratings]
    after = [(team[0].mu, team[0].sigma) for team in model.rate(teams, ranks=places)]
    print("match", len(ratings))
    for (mu, sigma), place, (new_mu, new_sigma) in zip(ratings, places, after):
        print(repr(mu), repr(sigma), place, repr(new_mu), repr(new_sigma))
    return after


def places(count):
    return random.sample(range(1, count + 1), count)


league = [(25.0, 25.0 / 3.0)] * 12
for _ in range(40):
    skills = [index + random.gauss(0.0, 4.0) for index in range(12)]
    league = play(league, [1 + sum(other > skill for other in skills) for skill in skills])

for index in range(40):
    count = 2 + index % 19
    play([(random.uniform(-40.0, 90.0), random.uniform(0.5, 9.0)) for _ in range(count)], places(count))
