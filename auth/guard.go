package auth

import (
	"net/netip"
	"sync"
	"time"
)

// Guard is what all doors of a daemon know together of those who knock: a source
// that is shut out at one is shut out at every one, and what an account may have at
// once, and send in a second, counts over all of them.
type Guard struct {
	Sources   Sources
	Penalties *PenaltyTable
	Paces     Paces
	Sessions  Sessions
}

// NewGuard checks the rules and returns a Guard that has seen nobody; now is its
// clock.
func NewGuard(s Sources, rules Penalties, now func() time.Time) (*Guard, error) {
	table, err := NewPenaltyTable(rules, now)
	if err != nil {
		return nil, err
	}
	return &Guard{Sources: s, Penalties: table}, nil
}

// IsShut tells whether ip comes from a source that is shut out.
func (g *Guard) IsShut(ip netip.Addr) bool {
	return !g.Sources.IsExempt(ip) && g.Penalties.IsShut(g.Sources.Of(ip))
}

// Penalise penalises the source of ip for f, where it is not exempt, and tells
// whether that has shut it out.
func (g *Guard) Penalise(ip netip.Addr, f Fault) (shut bool) {
	return !g.Sources.IsExempt(ip) && g.Penalties.Add(g.Sources.Of(ip), f)
}

// Sessions counts what each account has open. Its table has an entry only for
// accounts that have something. The zero value is ready; it is safe for concurrent
// use.
type Sessions struct {
	mu       sync.Mutex // guards accounts
	accounts map[string]int
}

// Take counts one more for the account, unless it has most already. What was taken
// is given back with Give.
func (s *Sessions) Take(account string, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[account] >= most {
		return false
	}
	if s.accounts == nil {
		s.accounts = make(map[string]int)
	}
	s.accounts[account]++
	return true
}

// Give gives one back.
func (s *Sessions) Give(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[account]--; s.accounts[account] <= 0 {
		delete(s.accounts, account)
	}
}
