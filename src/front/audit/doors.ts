import { audited } from '../contract.js'
import type { FrontServices } from '../services.js'
import { exportDoors } from './exports.js'
import { logFileDoors } from './log-files.js'
import { search } from './search.js'
import { tellStory } from './story.js'
import { summarize } from './summary.js'

/** The log as auditors see it. */
export function auditDoors(services: FrontServices) {
  const { auditors } = services
  return {
    auditEntries: audited<'auditEntries'>('read', 'entries', (request) => search(auditors, request)),
    auditSummary: audited<'auditSummary'>('read', 'summary', ({ look }) => summarize(auditors, look)),
    auditOperation: audited<'auditOperation'>('read', 'operation', (request) => tellStory(auditors, request)),
    ...logFileDoors(services),
    ...exportDoors(services),
  }
}
