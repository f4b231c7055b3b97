/** Opens and closes the device named by the first argument again and again, as processes that start do. */
import { openHsm } from '../../src/hsm/open-hsm.js'

const [uri = '', times = '1'] = process.argv.slice(2)
for (let i = 0; i < Number(times); i++) {
  const hsm = await openHsm(uri)
  await hsm.random(8)
  await hsm.close()
}
