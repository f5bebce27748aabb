package web

// A censor makes what the reconciler knows fit to be shown: without secrets and without characters that are not visible. That is
// slow, so it remembers what it made of the last snapshot's texts. The zero value is of no use; newCensor makes one.
type censor struct{ lines, blocks memory }

func newCensor() *censor {
	return &censor{lines: memory{answer: line}, blocks: memory{answer: block}}
}

func (c *censor) line(s string) string  { return c.lines.of(s) }
func (c *censor) block(s string) string { return c.blocks.of(s) }

// next says that a snapshot is done: what was not in it is forgotten.
func (c *censor) next() {
	c.lines.next()
	c.blocks.next()
}

// A memory gives the same answer without asking again, as long as somebody wants it in each round.
type memory struct {
	answer     func(string) string
	last, this map[string]string // by round
}

func (m *memory) of(s string) string {
	a, ok := m.this[s]
	if ok {
		return a
	}
	if a, ok = m.last[s]; !ok {
		a = m.answer(s)
	}
	if m.this == nil {
		m.this = map[string]string{}
	}
	m.this[s] = a
	return a
}

func (m *memory) next() { m.last, m.this = m.this, nil }
