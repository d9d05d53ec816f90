"""The table: medians of both, and who is ahead."""

import statistics


def number(value):
    if value >= 1000:
        return f'{value:,.0f}'
    if value >= 100:
        return f'{value:.0f}'
    if value >= 10:
        return f'{value:.1f}'
    if value >= 1:
        return f'{value:.2f}'
    return f'{value:.3f}'


class Row:
    """One line: samples and errors by server name. more: a larger value is the better one."""

    def __init__(self, key, title, unit, more):
        self.key = key
        self.title = title
        self.unit = unit
        self.more = more
        self.samples = {}
        self.errors = {}

    def add(self, name, value):
        if value is not None:
            self.samples.setdefault(name, []).append(value)

    def fail(self, name, count):
        if count:
            self.errors[name] = self.errors.get(name, 0) + count

    def median(self, name):
        samples = self.samples.get(name)
        return statistics.median(samples) if samples else None

    def cell(self, name):
        value = self.median(name)
        text = '-' if value is None else number(value)
        errors = self.errors.get(name)
        return f'{text} **({errors} errors)**' if errors else text

    def ratio(self, first, other):
        """How many times better first is than other; None where that has no meaning."""
        a, b = self.median(first), self.median(other)
        if not a or not b or self.errors.get(first) or self.errors.get(other):
            return None
        return a / b if self.more else b / a

    def overlaps(self, first, other):
        a, b = self.samples[first], self.samples[other]
        return len(a) > 1 and len(b) > 1 and max(a) >= min(b) and max(b) >= min(a)

    def as_json(self, names):
        out = {'key': self.key, 'title': self.title, 'unit': self.unit,
               'better': 'more' if self.more else 'less',
               'median': {n: self.median(n) for n in names},
               'samples': {n: self.samples.get(n, []) for n in names},
               'errors': {n: self.errors.get(n, 0) for n in names}}
        out['ratio'] = {n: self.ratio(names[0], n) for n in names[1:]}
        return out


def table(rows, names):
    first, others = names[0], names[1:]
    head = ['', 'unit', first]
    for name in others:
        head += [name, 'ratio']
    lines = [head, ['---', '---'] + ['---:'] * (len(head) - 2)]
    noisy = False
    for row in rows:
        cells = [row.title, row.unit, row.cell(first)]
        for name in others:
            ratio = row.ratio(first, name)
            text = '-'
            if ratio is not None:
                text = f'{ratio:.2f}' if ratio < 10 else f'{ratio:.1f}'
                if row.overlaps(first, name):
                    text += ' ~'
                    noisy = True
            cells += [row.cell(name), text]
        lines.append(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    out = []
    for n, line in enumerate(lines):
        cells = []
        for i, cell in enumerate(line):
            right = i >= 2
            if n == 1:
                cell = '-' * (widths[i] - 1) + ':' if right else '-' * widths[i]
            cells.append(cell.rjust(widths[i]) if right else cell.ljust(widths[i]))
        out.append('| ' + ' | '.join(cells) + ' |')
    if others:
        out += ['', f'ratio: how many times better {first} is (below 1: worse).']
    if noisy:
        out += ['~: the rounds of both overlap, so no difference is shown.']
    return '\n'.join(out)
