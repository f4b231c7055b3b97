import { after } from 'node:test'
import { openHsm } from '../../src/hsm/open-hsm.js'
import { hsmContract } from '../contract/hsm.js'
import { tempToken } from '../helpers/temp-token.js'

const token = await tempToken()
after(() => token.remove())

hsmContract('PKCS#11 device on SoftHSM', (options) => openHsm(token.uri, options))
