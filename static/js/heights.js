/* Heights: where the rows of a virtual list are. Promises `top(row)` and `rowAt(offset)` in constant time
 * while all rows are alike, and in logarithmic time where each has its own height (a Fenwick tree). */

export class Heights {
  #uniform;
  #count = 0;
  #each = null; // Heights by row; null while uniform.
  #tree = null;

  constructor(uniform) {
    this.#uniform = uniform;
  }

  get count() {
    return this.#count;
  }

  get total() {
    return this.top(this.#count);
  }

  /** `count` rows of the same height. */
  setUniform(count, height) {
    this.#uniform = height;
    this.#count = count;
    this.#each = null;
    this.#tree = null;
  }

  /** `count` rows, of which each is as high as `heightOf(row)` says. */
  setEach(count, heightOf) {
    this.#count = 0;
    this.#allocate(Math.max(1024, count * 2));
    this.grow(count, heightOf);
  }

  /** Further rows up to `count`. */
  grow(count, heightOf) {
    if (!this.#each) {
      this.#count = count;
      return;
    }
    if (count > this.#each.length) {
      const old = this.#each;
      this.#allocate(count * 2);
      for (let row = 0; row < this.#count; row += 1) {
        this.#each[row] = old[row];
        this.#add(row, old[row]);
      }
    }
    for (let row = this.#count; row < count; row += 1) {
      this.#each[row] = heightOf(row);
      this.#add(row, this.#each[row]);
    }
    this.#count = count;
  }

  /** Correct a row's height; returns the difference. */
  correct(row, height) {
    if (!this.#each) return 0;
    const change = height - this.#each[row];
    if (Math.abs(change) < 0.5) return 0;
    this.#each[row] = height;
    this.#add(row, change);
    return change;
  }

  top(row) {
    if (!this.#each) return row * this.#uniform;
    let sum = 0;
    for (let at = row; at > 0; at -= at & -at) sum += this.#tree[at];
    return sum;
  }

  /** The row at `offset`, clamped to the rows there are. */
  rowAt(offset) {
    if (!this.#count) return 0;
    let row = 0;
    if (this.#each) {
      let left = Math.max(0, offset);
      for (let step = 2 ** Math.floor(Math.log2(this.#each.length)); step; step >>= 1) {
        if (row + step <= this.#count && this.#tree[row + step] <= left) {
          row += step;
          left -= this.#tree[row];
        }
      }
    } else {
      row = Math.floor(Math.max(0, offset) / this.#uniform);
    }
    return Math.min(row, this.#count - 1);
  }

  #allocate(size) {
    this.#each = new Float64Array(size);
    this.#tree = new Float64Array(size + 1);
  }

  #add(row, change) {
    for (let at = row + 1; at < this.#tree.length; at += at & -at) this.#tree[at] += change;
  }
}
