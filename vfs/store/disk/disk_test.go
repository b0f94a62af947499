package disk

import (
	"testing"

	"bundleup/vfs/store"
	"bundleup/vfs/store/storetest"
)

func TestDisk(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Reopen {
		root := t.TempDir()
		var last *Store
		t.Cleanup(func() { last.Close() })
		return func() store.Store {
			if last != nil {
				last.Close()
			}
			s, err := Open(root, Options{})
			if err != nil {
				t.Fatal(err)
			}
			last = s
			return s
		}
	})
}
