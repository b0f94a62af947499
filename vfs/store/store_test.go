package store_test

import (
	"testing"

	"bundleup/vfs/store"
	"bundleup/vfs/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Reopen {
		m := store.NewMemory()
		return func() store.Store {
			m.Crash()
			return m
		}
	})
}
